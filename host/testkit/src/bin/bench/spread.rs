//! Statistics over several runs, for the cells of a table.

/// The median of a figure over several runs with minimum and maximum, or `-` without runs.
pub fn spread<T>(runs: &[T], of: impl Fn(&T) -> f64, digits: usize) -> String {
    let values = sorted(runs, &of);
    match (values.first(), values.last()) {
        (Some(min), Some(max)) if min.is_finite() => {
            format!("{:.digits$} ({min:.digits$}–{max:.digits$})", median(runs, of))
        }
        _ => "-".to_owned(),
    }
}

/// The median of a figure over several runs.
pub fn median<T>(runs: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let values = sorted(runs, of);
    let (low, high) = (values.get((values.len() - 1) / 2), values.get(values.len() / 2));
    low.zip(high).map_or(f64::NAN, |(low, high)| (low + high) / 2.0)
}

fn sorted<T>(runs: &[T], of: impl Fn(&T) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}
