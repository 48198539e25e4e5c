//! The first content of a memory.

use std::ops::Range;

/// A run of zeros of at least this length is filled. A shorter one is copied, because each operation has a fixed cost.
const MIN_ZEROS: usize = 256;

/// The first content of a memory.
pub struct Image {
    /// All of it.
    pub bytes: Vec<u8>,
    /// The ranges that begin and end with something else than zero, in order. Everything else is zero.
    pub runs: Vec<Range<u32>>,
}

/// The content of a memory of this size after these segments were written. None if a segment lies beyond it: the
/// component cannot be instantiated.
pub fn image(segments: &[(u32, &[u8])], size: usize) -> Option<Image> {
    let mut bytes = vec![0; size];
    for (offset, segment) in segments {
        let start = usize::try_from(*offset).ok()?;
        // Of segments that overlap, the later one counts.
        bytes.get_mut(start..start.checked_add(segment.len())?)?.copy_from_slice(segment);
    }
    let mut runs = Vec::new();
    let mut at = next(&bytes, 0);
    while let Some(start) = at {
        let mut end = start + 1;
        at = next(&bytes, end);
        while let Some(more) = at.filter(|more| more - end < MIN_ZEROS) {
            end = more + 1;
            at = next(&bytes, end);
        }
        runs.push(u32::try_from(start).ok()?..u32::try_from(end).ok()?);
    }
    Some(Image { bytes, runs })
}

/// The position of the next byte that is not zero.
fn next(all: &[u8], from: usize) -> Option<usize> {
    all[from..].iter().position(|byte| *byte != 0).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_separated_by_long_zeros_and_later_segments_count() {
        let far = 1000;
        let segments: [(u32, &[u8]); 4] =
            [(0, &[0, 0, 1, 0, 2, 0, 0]), (20, &[3, 3]), (far, &[4]), (21, &[5, 0])];
        let mut first = vec![1, 0, 2];
        first.resize(20 - 2, 0);
        first.extend([3, 5]);
        let found = image(&segments, 1 << 16).expect("they fit");
        assert_eq!(found.runs, [2..22, far..far + 1]);
        assert_eq!(found.bytes[2..22], first);
        assert_eq!((found.bytes[1000], found.bytes.len()), (4, 1 << 16));
        let fits = |segment| image(&[segment], 1 << 16).is_some();
        assert!(fits((65_536, &[])) && fits((65_535, &[1])));
        assert!(!fits((65_535, &[1, 2])) && !fits((u32::MAX, &[1, 2])));
    }
}
