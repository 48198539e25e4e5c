//! Twilio's `POST /2010-04-01/Accounts/{Sid}/Messages.json`.

use std::time::SystemTime;

use messages::{SmsSendMessage, SmsSender};
use serde::Deserialize;

use crate::answer::{Answer, Meaning, Verdict};
use crate::http::{Address, Request};

/// A response: a message, or an error with its code.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Response {
    sid: Option<String>,
    code: Option<u32>,
    message: Option<String>,
    error_code: Option<u32>,
    error_message: Option<String>,
}

/// The request for a message. Twilio checks its length, and numbers without a country code.
///
/// # Errors
/// The sender or the recipient is invalid.
pub fn request(address: &Address, account: &str, sms: &SmsSendMessage) -> Result<Request, Verdict> {
    let (kind, sender) = match sms.sender()? {
        SmsSender::Number(number) => ("From", number.to_string()),
        SmsSender::Name(name) => ("From", name),
        SmsSender::Service(sid) => ("MessagingServiceSid", sid),
    };
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("To", &sms.recipient()?.to_string())
        .append_pair(kind, &sender)
        .append_pair("Body", &sms.body)
        .finish();
    let path = format!("/2010-04-01/Accounts/{account}/Messages.json");
    Ok(Request::post(address, &path, "application/x-www-form-urlencoded", body.into_bytes()))
}

/// The outcome for a response.
pub fn judge(answer: &Answer, now: SystemTime) -> Verdict {
    let response: Response = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = response.code.or(response.error_code);
    let description = response.message.or(response.error_message);
    if answer.is_success() && code.is_none() {
        return match response.sid {
            Some(sid) => Verdict::Accepted(sid),
            // A success without an SID: the outcome of the message is unknown.
            None => answer.failure(Meaning::Fault, answer.text(), now),
        };
    }
    let detail = match (code, description) {
        (Some(code), description) => format!("{code} {}", description.unwrap_or_default()),
        (None, _) => answer.text(),
    };
    answer.failure(meaning(code.unwrap_or_default()), detail, now)
}

/// The meaning of an error code from Twilio's error dictionary.
fn meaning(code: u32) -> Meaning {
    match code {
        21211 | 21212 | 21214 | 21217 | 21606 | 21612 | 21614 | 21659 | 21660 => Meaning::Number,
        // The account is suspended, usually for lack of balance.
        30002 => Meaning::Balance,
        10001 | 20003 | 20005 => Meaning::Account,
        21605 | 21617 => Meaning::TooLong,
        _ => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn sent(from: &str, to: &str, body: &str) -> String {
        let sms = SmsSendMessage { from: from.into(), to: to.into(), body: body.into() };
        let address = Address::parse("https://api.twilio.com").expect("an address");
        let request = request(&address, "AC1", &sms).expect("a request");
        assert_eq!(request.path, "/2010-04-01/Accounts/AC1/Messages.json");
        assert_eq!(request.content_type, "application/x-www-form-urlencoded");
        String::from_utf8(request.body).expect("a form")
    }

    #[test]
    fn the_request_is_as_twilio_documents_it() {
        assert_eq!(
            sent("+1 202 555 0123", "+82 (0)10-1234-5678", "안녕 & bye=1"),
            "To=%2B821012345678&From=%2B12025550123&Body=%EC%95%88%EB%85%95+%26+bye%3D1"
        );
        assert_eq!(sent("12345", "010-1234-5678", ""), "To=01012345678&From=12345&Body=");
    }

    #[test]
    fn a_name_keeps_its_spaces_and_a_service_has_its_own_field() {
        assert_eq!(sent("MY SHOP", "+821012345678", "x"), "To=%2B821012345678&From=MY+SHOP&Body=x");
        let sid = format!("MG{}", "0a".repeat(16));
        let body = format!("To=%2B821012345678&MessagingServiceSid={sid}&Body=x");
        assert_eq!(sent(&sid, "+821012345678", "x"), body);
    }

    fn judged(status: u16, body: &str) -> Verdict {
        judge(&Answer { status, retry_after: None, body: body.into() }, UNIX_EPOCH)
    }

    #[test]
    fn an_accepted_message_has_a_receipt() {
        let body = r#"{"sid":"SM1","status":"queued","error_code":null,"error_message":null,"body":"x"}"#;
        assert_eq!(judged(201, body), Verdict::Accepted("SM1".into()));
    }

    #[test]
    fn failures_have_codes() {
        let error = |code: u32, status: u16| {
            (status, format!(r#"{{"code":{code},"message":"why","more_info":"url","status":{status}}}"#))
        };
        for ((answered, body), code, is_retried) in [
            (error(21211, 400), "invalid-number", false),
            (error(21606, 400), "invalid-number", false),
            (error(21614, 400), "invalid-number", false),
            (error(21617, 400), "message-too-long", false),
            (error(21610, 400), "sms-rejected", false),
            (error(20003, 401), "gateway-auth", true),
            (error(20005, 403), "gateway-auth", true),
            (error(30002, 400), "insufficient-balance", true),
            (error(20429, 429), "rate-limited", true),
            (error(20500, 500), "sms-transient", true),
            (
                (201, r#"{"sid":"SM1","status":"failed","error_code":30002}"#.into()),
                "insufficient-balance",
                true,
            ),
            ((200, "<html>".into()), "sms-transient", true),
            ((404, "<html>".into()), "sms-rejected", false),
        ] {
            match judged(answered, &body) {
                Verdict::Retry(found, _, None) if is_retried => assert_eq!(found, code, "{body}"),
                Verdict::Reject(found, _) if !is_retried => assert_eq!(found, code, "{body}"),
                verdict => panic!("{body}: {verdict:?}"),
            }
        }
        let (status, body) = error(21211, 400);
        assert_eq!(judged(status, &body), Verdict::Reject("invalid-number", "HTTP 400: 21211 why".into()));
    }
}
