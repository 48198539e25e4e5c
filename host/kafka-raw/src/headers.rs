//! Header lists, with names as bytes.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::LazyLock;

use rdkafka::message::BorrowedMessage;
use rdkafka_sys as sys;

use crate::{bytes, parts};

/// The headers of a message from the safe crate.
pub fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Headers<'a> {
    // SAFETY: the message is alive, and borrowed for as long as its headers.
    unsafe { headers_of(message.ptr()) }
}

/// # Safety
/// The message lives for 'a and is not used by another thread meanwhile.
pub(crate) unsafe fn headers_of<'a>(message: *mut sys::rd_kafka_message_t) -> Headers<'a> {
    let mut list = ptr::null_mut();
    // SAFETY: the caller's promise; the list belongs to the message.
    let code = unsafe { sys::rd_kafka_message_headers(message, &mut list) };
    let ok = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    Headers { list: if ok { list } else { ptr::null_mut() }, next: 0, owner: PhantomData }
}

/// An iterator over the headers of a message or a list: names and values as bytes.
#[derive(Clone)]
pub struct Headers<'a> {
    list: *const sys::rd_kafka_headers_t,
    next: usize,
    owner: PhantomData<&'a sys::rd_kafka_headers_t>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.list.is_null() {
            return None;
        }
        // SAFETY: the list lives as long as its owner, which is borrowed for 'a.
        let header = unsafe { header_at(self.list, self.next) }?;
        self.next += 1;
        Some(header)
    }
}

/// A header list to publish.
pub struct HeaderList {
    ptr: NonNull<sys::rd_kafka_headers_t>,
}

// SAFETY: a plain list with one owner.
unsafe impl Send for HeaderList {}

impl HeaderList {
    /// An empty list with room for `capacity` headers.
    pub fn with_capacity(capacity: usize) -> Self {
        // SAFETY: librdkafka aborts the process rather than return null when memory is exhausted.
        let ptr = unsafe { NonNull::new_unchecked(sys::rd_kafka_headers_new(capacity)) };
        Self { ptr }
    }

    /// Appends a header with any name and value.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        let (data, len) = parts(value);
        // SAFETY: librdkafka copies both; the lengths are those of live slices.
        unsafe {
            sys::rd_kafka_header_add(
                self.ptr.as_ptr(),
                name.as_ptr().cast(),
                name.len().cast_signed(),
                data,
                len.cast_signed(),
            );
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_headers_t {
        self.ptr.as_ptr()
    }

    /// The headers, in order.
    pub fn iter(&self) -> Headers<'_> {
        Headers { list: self.ptr.as_ptr(), next: 0, owner: PhantomData }
    }
}

impl Clone for HeaderList {
    fn clone(&self) -> Self {
        // SAFETY: as in `with_capacity`.
        Self { ptr: unsafe { NonNull::new_unchecked(sys::rd_kafka_headers_copy(self.ptr.as_ptr())) } }
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        // SAFETY: owned; forgotten if librdkafka takes ownership.
        unsafe { sys::rd_kafka_headers_destroy(self.ptr.as_ptr()) }
    }
}

/// # Safety
/// `list` is a live header list that is not changed during 'a.
unsafe fn header_at<'a>(
    list: *const sys::rd_kafka_headers_t,
    index: usize,
) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let mut name = ptr::null();
    let mut value = ptr::null();
    let mut len = 0;
    // SAFETY: the caller's promise; the out-pointers are valid for the call.
    let code = unsafe { sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut len) };
    if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    // SAFETY: librdkafka's name is NUL-terminated and, where LENGTH_IS_STORED, preceded by its
    // length; the value has `len` bytes.
    unsafe {
        let name_len =
            if *LENGTH_IS_STORED { stored_length(name) } else { CStr::from_ptr(name).count_bytes() };
        Some((slice::from_raw_parts(name.cast(), name_len), bytes(value, len)))
    }
}

/// The API returns a name without its length, so that a name with a NUL would be truncated. librdkafka stores
/// the length before the name (`rkhdr_name_size`, then the value's pointer, then the name).
///
/// # Safety
/// `name` comes from a header list of a librdkafka for which `LENGTH_IS_STORED` holds.
unsafe fn stored_length(name: *const c_char) -> usize {
    // SAFETY: inside the header's one allocation, see above.
    unsafe { name.byte_sub(2 * size_of::<usize>()).cast::<usize>().read_unaligned() }
}

/// Whether this librdkafka lays out its headers as `stored_length` expects, checked once on known names.
/// Reading two words before a name stays inside its allocation in every 2.x release.
static LENGTH_IS_STORED: LazyLock<bool> = LazyLock::new(|| {
    [(&b"a\0bc"[..], Some(&b"value"[..])), (b"", None), (b"n\0", None)].into_iter().all(
        |(expected, value)| {
            let mut list = HeaderList::with_capacity(1);
            list.push(expected, value);
            let (mut name, mut data, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: a live list with one header.
            unsafe {
                sys::rd_kafka_header_get_all(list.ptr.as_ptr(), 0, &mut name, &mut data, &mut len);
                stored_length(name) == expected.len()
            }
        },
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_and_values_round_trip_byte_for_byte() {
        let headers: [(&[u8], Option<&[u8]>); 7] = [
            (b"plain", Some(b"value")),
            (b"\xff\xfe", Some(b"\x00\x01")),
            (b"nul\0inside", Some(b"x")),
            (b"nul\0and null", None),
            (b"", Some(b"")),
            (b"plain", None),
            (b"plain", Some(b"value")),
        ];
        let mut list = HeaderList::with_capacity(2);
        headers.iter().for_each(|(name, value)| list.push(name, *value));
        let copy = list.clone();
        assert!(list.iter().eq(headers));
        assert!(copy.iter().eq(headers));
    }

    #[test]
    fn the_linked_librdkafka_stores_name_lengths() {
        assert!(*LENGTH_IS_STORED);
    }
}
