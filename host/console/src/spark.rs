//! Sparklines: small charts as paths of SVG.

use std::fmt::Write as _;

/// The size of a chart, in units of its view box.
pub const WIDTH: f32 = 240.0;
pub const HEIGHT: f32 = 48.0;
/// Room for the line at the highest value.
const MARGIN: f32 = 2.0;
/// The maximum number of points. More would not be seen.
const MAX_POINTS: usize = 120;

/// A chart of values of which the last is at the right edge.
#[derive(Debug, Clone, Default)]
pub struct Spark {
    /// The path of the line, with gaps where nothing is known.
    pub line: String,
    /// The path of the area below it.
    pub area: String,
    /// The highest value.
    pub highest: Option<f32>,
    /// The last value; None if it is not known.
    pub last: Option<f32>,
}

impl Spark {
    /// A chart with room for `steps` values.
    pub fn new(values: &[Option<f32>], steps: usize) -> Self {
        let per_point = steps.div_ceil(MAX_POINTS).max(1);
        // Groups end at the last value, so that a point does not change its group with each new value.
        let points: Vec<Option<f32>> = values.rchunks(per_point).rev().map(highest).collect();
        let most = highest(&points);
        let room = steps.div_ceil(per_point).max(2);
        let mut spark = Self { highest: most, last: values.last().copied().flatten(), ..Self::default() };
        let scale = most.filter(|most| *most > 0.0).map_or(0.0, |most| (HEIGHT - MARGIN) / most);
        let step = WIDTH / (room - 1) as f32;
        let first = room.saturating_sub(points.len());
        let mut run: Vec<(f32, f32)> = Vec::new();
        for (index, point) in points.iter().enumerate() {
            match point {
                Some(value) => run.push(((first + index) as f32 * step, HEIGHT - value * scale)),
                None => spark.add(std::mem::take(&mut run)),
            }
        }
        spark.add(run);
        spark
    }

    /// Adds points without a gap.
    fn add(&mut self, run: Vec<(f32, f32)>) {
        let (Some((left, _)), Some((right, _))) = (run.first().copied(), run.last().copied()) else { return };
        let mut path = String::new();
        for (index, (x, y)) in run.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        if run.len() == 1 {
            // A point alone is a dot.
            path.push_str("h0");
        }
        let _ = write!(self.area, "{path}L{right:.1} {HEIGHT}L{left:.1} {HEIGHT}Z");
        self.line.push_str(&path);
    }
}

fn highest(values: &[Option<f32>]) -> Option<f32> {
    values.iter().flatten().copied().reduce(f32::max)
}

/// The sums of series, step by step, with the last values of all at the same place. A step is known if it is in any.
pub fn sum<'a>(all: impl Iterator<Item = &'a [Option<f32>]>) -> Vec<Option<f32>> {
    let mut sums: Vec<Option<f32>> = Vec::new();
    for values in all {
        if sums.len() < values.len() {
            let missing = values.len() - sums.len();
            sums.splice(0..0, std::iter::repeat_n(None, missing));
        }
        for (sum, value) in sums.iter_mut().rev().zip(values.iter().rev()) {
            *sum = match (*sum, *value) {
                (Some(sum), Some(value)) => Some(sum + value),
                (one, other) => one.or(other),
            };
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_at_the_right_edge_and_the_highest_at_the_top() {
        let spark = Spark::new(&[Some(0.0), Some(10.0), Some(5.0)], 3);
        assert_eq!(spark.line, "M0.0 48.0L120.0 2.0L240.0 25.0");
        assert!(spark.area.ends_with("L240.0 48L0.0 48Z"), "{}", spark.area);
        assert_eq!((spark.highest, spark.last), (Some(10.0), Some(5.0)));
        let few = Spark::new(&[Some(1.0)], 3);
        assert_eq!(few.line, "M240.0 2.0h0");
    }

    #[test]
    fn what_is_not_known_is_a_gap() {
        let spark = Spark::new(&[Some(1.0), None, Some(1.0), Some(1.0)], 4);
        assert_eq!(spark.line, "M0.0 2.0h0M160.0 2.0L240.0 2.0");
        assert_eq!(Spark::new(&[Some(1.0), None], 2).last, None);
        assert!(Spark::new(&[], 360).line.is_empty());
    }

    #[test]
    fn long_series_are_thinned_and_keep_their_peaks() {
        let mut values = vec![Some(1.0); 360];
        values[100] = Some(9.0);
        let spark = Spark::new(&values, 360);
        assert_eq!(spark.line.matches(['M', 'L']).count(), MAX_POINTS);
        assert_eq!(spark.highest, Some(9.0));
        assert!(spark.line.contains(" 2.0L"), "{}", spark.line);
    }

    #[test]
    fn sums_are_aligned_at_their_end() {
        let (a, b) = ([Some(1.0), Some(2.0)], [Some(10.0)]);
        assert_eq!(sum([&a[..], &b[..]].into_iter()), [Some(1.0), Some(12.0)]);
        assert_eq!(sum([&b[..], &a[..], &[None]].into_iter()), [Some(1.0), Some(12.0)]);
        assert_eq!(sum([&[None][..]].into_iter()), [None]);
    }
}
