//! Solapi's `POST /messages/v4/send`.

use std::time::SystemTime;

use messages::{PhoneNumber, SmsSendMessage, SmsSender};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Meaning, Verdict};
use crate::http::{Address, Request};

/// The maximum length of an SMS in EUC-KR, in bytes.
const MAX_SMS: usize = 90;
/// The maximum length of an LMS in EUC-KR, in bytes.
const MAX_LMS: usize = 2000;

#[derive(Serialize)]
struct Body<'a> {
    message: Text<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    to: String,
    from: String,
    /// The country code of the recipient, if it is not Korea's.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    text: &'a str,
    r#type: &'static str,
}

/// A response: a message with its status, or an error.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    status_code: Option<String>,
    status_message: Option<String>,
    message_id: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

/// The request for a message. Solapi takes numbers as they are dialled in Korea, and others beside their country code.
///
/// # Errors
/// The sender or the recipient is invalid, or the text is too long.
pub fn request(address: &Address, sms: &SmsSendMessage) -> Result<Request, Verdict> {
    let bytes = euc_kr_len(&sms.body);
    if bytes > MAX_LMS {
        let detail = format!("{bytes} bytes in EUC-KR; the maximum of an LMS is {MAX_LMS}");
        return Err(Verdict::Reject("message-too-long", detail));
    }
    let kind = if bytes <= MAX_SMS { "SMS" } else { "LMS" };
    let (to, country) = recipient(&sms.recipient()?);
    let message = Text { to, from: sender(&sms.sender()?)?, country, text: &sms.body, r#type: kind };
    let body = serde_json::to_vec(&Body { message }).unwrap_or_default();
    Ok(Request::post(address, "/messages/v4/send", "application/json", body))
}

/// The number, and its country code if that is not Korea's.
fn recipient(number: &PhoneNumber) -> (String, Option<String>) {
    match (number.in_korea(), number.country()) {
        (None, Some((code, rest))) => (rest.to_owned(), Some(code.to_owned())),
        (korean, _) => (korean.unwrap_or_default(), None),
    }
}

fn sender(sender: &SmsSender) -> Result<String, Verdict> {
    let korean = match sender {
        SmsSender::Number(number) => number.in_korea(),
        SmsSender::Name(_) | SmsSender::Service(_) => None,
    };
    korean.ok_or_else(|| {
        let detail = "from: Solapi sends from registered numbers of the Republic of Korea only".to_owned();
        Verdict::Reject("invalid-number", detail)
    })
}

/// The outcome for a response.
pub fn judge(answer: &Answer, now: SystemTime) -> Verdict {
    let response: Response = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = response.error_code.or(response.status_code).unwrap_or_default();
    let description = response.error_message.or(response.status_message);
    if answer.is_success() && is_accepted(&code) {
        return Verdict::Accepted(response.message_id.unwrap_or_default());
    }
    let meaning = match meaning(&code) {
        // A success without a code: the outcome of the message is unknown.
        Meaning::Other if answer.is_success() && code.is_empty() => Meaning::Fault,
        meaning => meaning,
    };
    let detail = description.map_or_else(|| answer.text(), |text| format!("{code} {}", text.trim()));
    answer.failure(meaning, detail, now)
}

/// Accepted by Solapi, by the carrier, or by the recipient's phone.
fn is_accepted(code: &str) -> bool {
    matches!(code, "2000" | "3000" | "4000")
}

/// The meaning of a message's status code or an error's name.
fn meaning(code: &str) -> Meaning {
    match code {
        "1030" | "2230" | "NotEnoughBalance" => Meaning::Balance,
        "1062" | "2062" | "3010" | "3013" | "3059" => Meaning::Number,
        "1031" => Meaning::TooLong,
        "1020" | "2063" => Meaning::Account,
        "1024" | "2024" | "3012" | "3024" => Meaning::Fault,
        _ => Meaning::Other,
    }
}

/// The length of a text in EUC-KR in bytes, where a character has one byte or two. Characters that EUC-KR
/// does not have count as two; the gateway decides whether it accepts them.
fn euc_kr_len(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn sent(from: &str, to: &str, body: &str) -> Result<String, Verdict> {
        let sms = SmsSendMessage { from: from.into(), to: to.into(), body: body.into() };
        let address = Address::parse("https://api.solapi.com").expect("an address");
        request(&address, &sms).map(|request| String::from_utf8(request.body).expect("JSON"))
    }

    #[test]
    fn the_request_is_as_solapi_documents_it() {
        let sms =
            SmsSendMessage { from: "029302266".into(), to: "01000000001".into(), body: "내용".into() };
        let request = request(&Address::parse("https://api.solapi.com").expect("an address"), &sms);
        let request = request.expect("a request");
        assert_eq!((&*request.authority, &*request.path), ("api.solapi.com", "/messages/v4/send"));
        assert_eq!(request.content_type, "application/json");
        assert_eq!(
            String::from_utf8(request.body).expect("JSON"),
            r#"{"message":{"to":"01000000001","from":"029302266","text":"내용","type":"SMS"}}"#
        );
    }

    #[test]
    fn numbers_are_sent_as_they_are_dialled_in_korea() {
        for (from, to, json) in [
            ("02-930-2266", "010 0000 0001", r#"{"to":"01000000001","from":"029302266","text""#),
            ("+82 2 930 2266", "+82 (0)10-0000-0001", r#"{"to":"01000000001","from":"029302266","text""#),
            ("+82 1588-0000", "+821000000001", r#"{"to":"01000000001","from":"15880000","text""#),
            ("1588-0000", "+1 202 555 0123", r#"{"to":"2025550123","from":"15880000","country":"1","text""#),
        ] {
            let body = sent(from, to, "").expect(from);
            assert!(body.contains(json), "{body}");
        }
        for from in ["MY SHOP", "+1 202 555 0123"] {
            let refused = sent(from, "01000000001", "").expect_err(from);
            assert!(matches!(refused, Verdict::Reject("invalid-number", _)), "{refused:?}");
        }
    }

    #[test]
    fn ninety_bytes_of_euc_kr_are_an_sms_and_two_thousand_an_lms() {
        for (body, kind) in [
            (String::new(), "SMS"),
            ("a".repeat(90), "SMS"),
            ("a".repeat(91), "LMS"),
            ("가".repeat(45), "SMS"),
            ("가".repeat(45) + "a", "LMS"),
            ("가".repeat(44) + "😀", "SMS"),
            ("가".repeat(1000), "LMS"),
        ] {
            let json = sent("114", "114", &body).expect("a request");
            assert!(json.ends_with(&format!(r#""type":"{kind}"}}}}"#)), "{json}");
        }
        let refused = sent("114", "114", &("가".repeat(1000) + "a")).expect_err("too long");
        assert!(matches!(refused, Verdict::Reject("message-too-long", _)), "{refused:?}");
    }

    #[test]
    fn lengths_are_those_of_an_encoder() {
        let held = (0..=0x1_ffff).filter_map(char::from_u32).filter(|c| {
            let mut utf8 = [0; 4];
            let (bytes, _, lost) = encoding_rs::EUC_KR.encode(c.encode_utf8(&mut utf8));
            if !lost {
                assert_eq!(bytes.len(), euc_kr_len(&c.to_string()), "{c}");
            }
            !lost
        });
        // 11,172 syllables, 128 ASCII characters, hanja and symbols.
        assert!(held.count() > 16_000);
    }

    fn judged(status: u16, body: &str) -> Verdict {
        judge(&Answer { status, retry_after: None, body: body.into() }, UNIX_EPOCH)
    }

    #[test]
    fn an_accepted_message_has_a_receipt() {
        let body = r#"{"groupId":"G4V","to":"01000000001","from":"029302266","type":"SMS",
            "statusMessage":"정상 접수(이통사로 접수 예정) ","country":"82","messageId":"M4V","statusCode":"2000",
            "accountId":"12925149"}"#;
        assert_eq!(judged(200, body), Verdict::Accepted("M4V".into()));
        assert_eq!(judged(200, r#"{"statusCode":"3000"}"#), Verdict::Accepted(String::new()));
    }

    #[test]
    fn failures_have_codes() {
        let status = |code: &str| format!(r#"{{"statusCode":"{code}","statusMessage":"왜 "}}"#);
        let error = |code: &str| format!(r#"{{"errorCode":"{code}","errorMessage":"why"}}"#);
        for (answered, body, code, is_retried) in [
            (200, status("1030"), "insufficient-balance", true),
            (200, status("2230"), "insufficient-balance", true),
            (400, error("NotEnoughBalance"), "insufficient-balance", true),
            (200, status("1062"), "invalid-number", false),
            (400, error("1062"), "invalid-number", false),
            (200, status("3010"), "invalid-number", false),
            (200, status("1031"), "message-too-long", false),
            (200, status("1029"), "sms-rejected", false),
            (200, status("2061"), "sms-rejected", false),
            (200, status("1024"), "sms-transient", true),
            (403, error("SignatureDoesNotMatch"), "gateway-auth", true),
            (403, error("RequestTimeTooSkewed"), "gateway-auth", true),
            (200, status("2063"), "gateway-auth", true),
            (400, error("ValidationError"), "sms-rejected", false),
            (500, error("InternalError"), "sms-transient", true),
            (502, "<html>".into(), "sms-transient", true),
            (429, error("TooManyRequests"), "rate-limited", true),
            (200, "<html>".into(), "sms-transient", true),
            (200, String::new(), "sms-transient", true),
        ] {
            match judged(answered, &body) {
                Verdict::Retry(found, _, None) if is_retried => assert_eq!(found, code, "{body}"),
                Verdict::Reject(found, _) if !is_retried => assert_eq!(found, code, "{body}"),
                verdict => panic!("{body}: {verdict:?}"),
            }
        }
        let Verdict::Reject(_, detail) = judged(400, &error("ValidationError")) else { panic!() };
        assert_eq!(detail, "HTTP 400: ValidationError why");
    }
}
