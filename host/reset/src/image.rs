//! The first content of a memory.

/// The content of a memory of this size after these segments were written. None if a segment lies beyond it: the
/// component cannot be instantiated.
pub fn image(segments: &[(u32, &[u8])], size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    for (offset, segment) in segments {
        let start = usize::try_from(*offset).ok()?;
        // Of segments that overlap, the later one counts.
        bytes.get_mut(start..start.checked_add(segment.len())?)?.copy_from_slice(segment);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_segments_count_and_none_lies_beyond_the_memory() {
        let segments: [(u32, &[u8]); 3] = [(0, &[0, 1]), (20, &[3, 3]), (21, &[5, 0])];
        let found = image(&segments, 1 << 16).expect("they fit");
        assert_eq!((&found[..3], &found[19..24]), (&[0, 1, 0][..], &[0, 3, 5, 0, 0][..]));
        assert_eq!(found.len(), 1 << 16);
        let fits = |segment| image(&[segment], 1 << 16).is_some();
        assert!(fits((65_536, &[])) && fits((65_535, &[1])));
        assert!(!fits((65_535, &[1, 2])) && !fits((u32::MAX, &[1, 2])));
    }
}
