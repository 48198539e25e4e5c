//! Media types of request bodies and responses.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use problem::Problem;

/// Accepts an uncompressed UTF-8 body of type `application/json` or `application/*+json`.
///
/// # Errors
/// 415 with the accepted media type in `Accept`.
pub fn check_body(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail: &'static str| {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
    };
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Err(refused("Content-Type is missing: send application/json"));
    };
    if content_type != "application/json" {
        let content_type =
            content_type.to_str().map_err(|_| refused("Content-Type must be application/json"))?;
        let (essence, parameters) = split(content_type);
        if !is_json(essence) {
            return Err(refused("Content-Type must be application/json"));
        }
        let charset = parameters.clone().find(|(name, _)| name.eq_ignore_ascii_case("charset"));
        if charset.is_some_and(|(_, charset)| !is_utf_8(charset)) {
            return Err(refused("JSON must be sent as UTF-8: the charset must be utf-8, or missing"));
        }
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(refused("send the body without Content-Encoding")),
        _ => Ok(()),
    }
}

/// Whether the client prefers JSON to plain text.
///
/// The higher quality wins, then the more specific range, then the earlier one. Plain text is the default,
/// also for clients that accept neither.
pub fn prefers_json(headers: &HeaderMap) -> bool {
    let accepts = || headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut json, mut text) = (Match::default(), Match::default());
    let ranges = accepts().flat_map(|accept| accept.split(','));
    for (position, range) in ranges.enumerate() {
        let (range, mut parameters) = split(range);
        let quality = parameters.find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let quality = quality.map_or(Some(1000), |(_, value)| thousandths(value)).unwrap_or(0);
        json.consider(range, "application", "json", quality, position);
        text.consider(range, "text", "plain", quality, position);
    }
    json.quality > 0 && json.rank() > text.rank()
}

/// The most specific range of an `Accept` header that matches a media type.
#[derive(Default)]
struct Match {
    specificity: u8,
    quality: u16,
    position: usize,
}

impl Match {
    fn consider(&mut self, range: &str, kind: &str, subtype: &str, quality: u16, position: usize) {
        let specificity = match range.split_once('/') {
            Some(("*", "*")) => 1,
            Some((k, "*")) if k.eq_ignore_ascii_case(kind) => 2,
            Some((k, s)) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => 3,
            _ => 0,
        };
        if specificity > self.specificity {
            *self = Self { specificity, quality, position };
        }
    }

    fn rank(&self) -> (u16, u8, std::cmp::Reverse<usize>) {
        (self.quality, self.specificity, std::cmp::Reverse(self.position))
    }
}

/// A media type or range, and its parameters.
fn split(value: &str) -> (&str, impl Iterator<Item = (&str, &str)> + Clone) {
    let mut parts = value.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let parameters = parts.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    });
    (essence, parameters)
}

/// The charset's registered name, and the one that many clients send.
fn is_utf_8(charset: &str) -> bool {
    ["utf-8", "utf8"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

fn is_json(essence: &str) -> bool {
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.len().checked_sub("+json".len()).and_then(|at| subtype.get(at..));
    kind.eq_ignore_ascii_case("application")
        && (subtype.eq_ignore_ascii_case("json")
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json")))
}

/// A quality of 0 to 1 as 0 to 1000; `None` if it is not a number in that range.
fn thousandths(quality: &str) -> Option<u16> {
    let quality: f32 = quality.parse().ok()?;
    (0.0..=1.0).contains(&quality).then_some((quality * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("header value"))])
    }

    #[test]
    fn only_uncompressed_utf_8_json_is_accepted() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json; charset=utf8",
            "application/json; Charset=\"UTF8\"",
            "application/vnd.mail+json",
        ] {
            assert!(check_body(&headers(header::CONTENT_TYPE, good)).is_ok(), "{good}");
        }
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "json",
            "application/json; charset=euc-kr",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8x",
            "application/json; charset=",
            "text/json",
            "",
        ] {
            assert!(check_body(&headers(header::CONTENT_TYPE, bad)).is_err(), "{bad}");
        }
        assert!(check_body(&HeaderMap::new()).is_err(), "no Content-Type");
        let mut zipped = headers(header::CONTENT_TYPE, "application/json");
        zipped.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(check_body(&zipped).is_err(), "gzip");
    }

    #[test]
    fn json_is_sent_only_to_clients_that_prefer_it() {
        for json in [
            "application/json",
            "APPLICATION/JSON",
            "application/*",
            "application/json, text/plain, */*",
            "text/plain;q=0.5, application/json",
            "text/plain;q=0, */*",
            "*/*;q=0.1, application/json;q=0.2",
            "application/problem+json, application/json;charset=utf-8",
        ] {
            assert!(prefers_json(&headers(header::ACCEPT, json)), "{json}");
        }
        for text in [
            "*/*",
            "text/plain",
            "text/*",
            "text/plain, application/json",
            "application/json;q=0.5, text/plain",
            "application/json;q=0",
            "application/json;q=0, */*",
            "application/json;q=high",
            "application/json;q=0.5, */*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/xml",
            "",
            ",;,",
        ] {
            assert!(!prefers_json(&headers(header::ACCEPT, text)), "{text}");
        }
        assert!(!prefers_json(&HeaderMap::new()), "no Accept");
    }
}
