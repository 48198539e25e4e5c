//! The first content of a memory.

/// A run of zeros of at least this length is filled. A shorter one is copied, because each operation has a fixed cost.
const MIN_ZEROS: usize = 256;

/// The runs of bytes of a memory that begin and end with something else than zero, in order, with their offsets.
/// Everything else is zero. None if a segment lies beyond `size`: the component cannot be instantiated.
pub fn runs(segments: &[(u32, &[u8])], size: usize) -> Option<Vec<(u32, Vec<u8>)>> {
    let mut all = vec![0; size];
    for (offset, bytes) in segments {
        let start = usize::try_from(*offset).ok()?;
        // Of segments that overlap, the later one counts.
        all.get_mut(start..start.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    }
    let mut runs = Vec::new();
    let mut at = next(&all, 0);
    while let Some(start) = at {
        let mut end = start + 1;
        at = next(&all, end);
        while let Some(more) = at.filter(|more| more - end < MIN_ZEROS) {
            end = more + 1;
            at = next(&all, end);
        }
        runs.push((u32::try_from(start).ok()?, all[start..end].to_vec()));
    }
    Some(runs)
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
        assert_eq!(runs(&segments, 1 << 16), Some(vec![(2, first), (far, vec![4])]));
        assert_eq!(runs(&[], 1 << 16), Some(vec![]));
        assert_eq!(runs(&[(65_536, &[])], 1 << 16), Some(vec![]));
        assert_eq!(runs(&[(65_535, &[1, 2])], 1 << 16), None);
        assert_eq!(runs(&[(u32::MAX, &[1, 2])], 1 << 16), None);
    }
}
