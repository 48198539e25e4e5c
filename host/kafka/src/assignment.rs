//! Decodes the partition assignment of a member of a classic consumer group.

/// The topics and partitions of a `ConsumerProtocolAssignment`: a version, an array of topics with their
/// partitions, and user data of the assignor.
///
/// The bytes are untrusted. Returns None if they are malformed, and allocates no more than their size
/// justifies.
pub fn decode(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    let mut rest = bytes;
    let version = i16::from_be_bytes(take(&mut rest)?);
    if version < 0 {
        return None;
    }
    let mut owned = Vec::new();
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        let name = std::str::from_utf8(name).ok()?;
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            owned.push((name.to_owned(), i32::from_be_bytes(take(&mut rest)?)));
        }
    }
    Some(owned)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(topics: &[(&str, &[i32])], user_data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend((topics.len() as i32).to_be_bytes());
        for (name, partitions) in topics {
            bytes.extend((name.len() as i16).to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend((partitions.len() as i32).to_be_bytes());
            partitions.iter().for_each(|p| bytes.extend(p.to_be_bytes()));
        }
        bytes.extend((user_data.len() as i32).to_be_bytes());
        bytes.extend(user_data);
        bytes
    }

    #[test]
    fn topics_and_partitions() {
        let bytes = encode(&[("email.send", &[0, 3]), ("sms.send", &[]), ("a", &[7])], b"sticky");
        let expected = vec![("email.send".to_owned(), 0), ("email.send".to_owned(), 3), ("a".to_owned(), 7)];
        assert_eq!(decode(&bytes), Some(expected));
        assert_eq!(decode(&encode(&[], b"")), Some(Vec::new()));
    }

    #[test]
    fn wrong_counts_are_refused() {
        assert_eq!(decode(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 1, 0x7f, 0xff, b'a']), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 1, 0, 1, b'a', 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 1, 0xff, 0xff]), None);
        assert_eq!(decode(&[]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            decode(&bytes);
        }

        #[test]
        fn a_truncated_assignment_is_refused(cut in 0usize..30) {
            let bytes = encode(&[("email.send", &[0, 1]), ("b", &[2])], b"");
            let whole = bytes.len() - 4;
            prop_assert_eq!(decode(&bytes[..cut.min(whole - 1)]), None);
        }
    }
}
