//! A record's headers as bytes.

#![allow(unsafe_code)] // rdkafka's own reader panics on a header name that is not UTF-8, and anyone may send one.

use std::ffi::CStr;
use std::{ptr, slice};

use rdkafka::message::BorrowedMessage;
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as NO_ERROR;

/// One header. A name ends at its first NUL: librdkafka keeps names as C strings.
pub struct Header<'m> {
    /// Any bytes but NUL.
    pub name: &'m [u8],
    /// Any bytes; absent and empty are different.
    pub value: Option<&'m [u8]>,
}

/// The headers of a record, in the sender's order, repeated names included.
pub fn read<'m>(message: &'m BorrowedMessage<'_>) -> Vec<Header<'m>> {
    let mut list = ptr::null_mut();
    // SAFETY: the message is alive, and librdkafka hands out its own list, valid as long as the message.
    if unsafe { sys::rd_kafka_message_headers(message.ptr(), &mut list) } != NO_ERROR || list.is_null() {
        return Vec::new();
    }
    (0..).map_while(|index| header(list, index)).collect()
}

fn header<'m>(list: *const sys::rd_kafka_headers_t, index: usize) -> Option<Header<'m>> {
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the list is alive (see `read`), and an index beyond its end is answered with an error.
    let found = unsafe { sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size) };
    if found != NO_ERROR || name.is_null() {
        return None;
    }
    // SAFETY: the name is a C string, and the value is null or `size` bytes, both owned by the list.
    let (name, value) = unsafe {
        (
            CStr::from_ptr(name).to_bytes(),
            (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size)),
        )
    };
    Some(Header { name, value })
}
