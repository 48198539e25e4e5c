//! What the host says in the API, in the words of the console.

use base::text;

use super::{Texts, counted};

texts! {
    /// Remarks of the host. `{1}` is the first part of the original that varies.
    RemarkTexts {}

    // Previews of replays
    kafka_away: "Kafka does not answer: {1}. Other groups that read these topics are unknown, and nothing is sent until it answers.", "Kafka가 응답하지 않습니다: {1}. 이 토픽을 읽는 다른 컨슈머 그룹을 확인할 수 없으며, 응답할 때까지 아무것도 전송하지 않습니다.";
    hidden_groups: "The offsets of {1} cannot be read; more groups may receive these messages again.", "{1}의 오프셋을 읽을 수 없습니다. 이 메시지를 다시 받는 그룹이 더 있을 수 있습니다.";
    no_topic: "Topic {1} does not exist; {2} will stay open.", "{1} 토픽이 없습니다. {2}은 미처리 상태로 남습니다.";
    other_reader_retry: "Group {1} also reads {2} and will receive these messages again. The first retry topic reaches {3} only.", "컨슈머 그룹 {1}도 {2} 토픽을 읽으므로 이 메시지를 다시 받습니다. 첫 번째 재시도 토픽으로 보내면 {3} 그룹만 받습니다.";
    other_reader: "Group {1} also reads {2} and will receive these messages again.", "컨슈머 그룹 {1}도 {2} 토픽을 읽으므로 이 메시지를 다시 받습니다.";
    no_retry_topic: "Cannot send {1} to a retry topic: {2}. Send them to their original topic, {3}.", "{1}을 재시도 토픽으로 보낼 수 없습니다: {2}. 원본 토픽 {3}을 선택하세요.";
    paused: "Plugin {1} has been paused since {2} by {3}: {4}. The messages wait until it is resumed.", "플러그인 {1} 일시 중지됨: {2}, {3}(사유: {4}). 재개할 때까지 메시지가 대기합니다.";
    rests: "Plugin {1} rests because its calls fail ({2}); the messages wait.", "플러그인 {1}의 호출이 실패하여({2}) 휴지 중입니다. 메시지가 대기합니다.";
    too_often: "Left out: {1} already replayed {2} times or more.", "제외: 이미 {2}회 이상 재처리한 {1}";
    cut: "Left out: {1} whose value was cut, because it exceeded the dead-letter topic's size limit.", "제외: 데드 레터 토픽의 크기 제한을 초과하여 값이 제거된 {1}";
    no_source: "Left out: {1} whose record does not name the original topic.", "제외: 레코드에 원본 토픽이 없는 {1}";
    in_other_replay: "Left out: {1} in another replay that may still send them. Cancel that replay first.", "제외: 다른 재처리에 포함된 {1}. 먼저 그 재처리를 취소하세요.";
    sent_before: "{1} sent e-mails or requests before; these are not sent again.", "{1}은 이미 이메일이나 요청을 보냈으며, 다시 보내지 않습니다.";
    in_doubt: "{1} with an e-mail or request in doubt: it may have been sent, and is sent again unless the plugin has unsettled = \"dead-letter\".", "{1}의 이메일이나 요청은 발송 여부를 알 수 없습니다. 플러그인에 unsettled = \"dead-letter\"를 설정하지 않으면 다시 보냅니다.";
    ledger_too_short: "The ledger keeps effects for {1} days and cannot tell what {2} sent before; it is sent again.", "발송 기록은 {1}일 동안만 보관되어 {2}이 이전에 보낸 내용을 확인할 수 없습니다. 다시 보냅니다.";

    // Replays
    too_many_failed: "{1} of {2} failed, more than {3} %.", "{2}건 중 {1}건이 실패하여 기준({3}%)을 넘었습니다.";
    no_publish: "Cannot publish to {1}: {2}. Trying again.", "{1} 토픽에 발행할 수 없습니다: {2}. 다시 시도합니다.";
    gone: "No longer in the store.", "저장소에 없습니다.";
    topic_missing: "Topic {1} does not exist.", "{1} 토픽이 없습니다.";
    too_large: "Exceeds the size limit of {1}.", "{1} 토픽의 크기 제한을 초과합니다.";
    is_discarded: "Discarded.", "폐기되었습니다.";
    is_replayed: "Replayed.", "이미 재처리되었습니다.";
    is_edited: "Replaced by an edited copy.", "수정된 사본으로 대체되었습니다.";

    // Waiting retries
    more_match: "{1} messages match, more than {2}. Nothing was changed.", "조건에 맞는 메시지가 {1}건으로 {2}건보다 많아 아무것도 변경하지 않았습니다.";
    in_the_past: "Enter a time in the future.", "현재 이후의 시각을 입력하세요.";
    too_far: "Enter a time within the next 24 hours.", "24시간 이내의 시각을 입력하세요.";
    too_long: "Enter 1 to 1,440 minutes.", "1~1,440분을 입력하세요.";
}

type Pattern = (&'static str, fn(&RemarkTexts) -> &'static str);

/// What the host says, with `{}` in place of what varies, and its text. The first that matches counts.
const PATTERNS: [Pattern; 28] = [
    (
        "Kafka does not answer: {}; other groups that read these topics are unknown, and nothing is sent until it answers",
        |t| t.kafka_away,
    ),
    ("cannot read the offsets of {}; more groups may receive these messages again", |t| t.hidden_groups),
    ("topic {} does not exist; {} will stay open", |t| t.no_topic),
    ("group {} also reads {} and will receive these messages again; --to retry sends them to {} only", |t| {
        t.other_reader_retry
    }),
    ("group {} also reads {} and will receive these messages again", |t| t.other_reader),
    ("cannot send {} to a retry topic: {}; send them to their original topic, {}: --to source", |t| {
        t.no_retry_topic
    }),
    ("plugin {} is paused since {}, by {}: {}; the messages wait until it is resumed: {}", |t| t.paused),
    ("plugin {} rests because its calls fail ({}); the messages wait", |t| t.rests),
    ("left out: {} already replayed {} times or more", |t| t.too_often),
    ("left out: {} whose value was cut: {}", |t| t.cut),
    ("left out: {} whose record does not name the original topic", |t| t.no_source),
    ("left out: {} in another replay that may still send them; {}", |t| t.in_other_replay),
    ("{} sent e-mails or requests before; these are not sent again", |t| t.sent_before),
    ("{} has an e-mail or request in doubt: {}", |t| t.in_doubt),
    ("{} have an e-mail or request in doubt: {}", |t| t.in_doubt),
    ("the ledger, which keeps effects for {} days, cannot tell what {} sent before; it is sent again", |t| {
        t.ledger_too_short
    }),
    ("{} of {} failed, more than {} %", |t| t.too_many_failed),
    ("cannot publish to {}: {}; retrying", |t| t.no_publish),
    ("it is no longer in the store", |t| t.gone),
    ("topic {} does not exist", |t| t.topic_missing),
    ("it exceeds the size limit of {}", |t| t.too_large),
    ("it is discarded", |t| t.is_discarded),
    ("it is replayed", |t| t.is_replayed),
    ("it is edited", |t| t.is_edited),
    ("{} messages match, more than {}; nothing is decided", |t| t.more_match),
    ("until_ms: a time in the future", |t| t.in_the_past),
    ("until_ms: at most 24 hours ahead, as any retry", |t| t.too_far),
    ("by_ms: more than 0, and at most 24 hours", |t| t.too_long),
];

impl Texts {
    /// What the host says, in this language. Unknown remarks stay as they are.
    pub fn remark(&self, said: &str) -> String {
        let found = PATTERNS.iter().find_map(|(pattern, text)| Some((text, parts(pattern, said)?)));
        let Some((text, parts)) = found else { return said.to_owned() };
        let (mut remark, mut rest) = (String::new(), text(&self.remarks));
        while let Some((before, (number, after))) =
            rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            let part = number.parse::<usize>().ok().and_then(|number| parts.get(number.checked_sub(1)?));
            remark += before;
            remark += &part.map(|part| self.part(part)).unwrap_or_default();
            rest = after;
        }
        remark + rest
    }

    /// A part of a remark: a counted noun or a time, or a text that needs no translation.
    fn part(&self, part: &str) -> String {
        let number = || part.split(' ').next().and_then(|number| number.parse().ok());
        let noun = match part.trim_start_matches(|c: char| c.is_ascii_digit()) {
            " dead letter" | " dead letters" => self.n_dead_letters,
            " message" | " messages" => self.n_messages,
            " group" | " groups" => self.n_groups,
            _ if part.ends_with('Z') => {
                return text::time(part).map_or_else(|| part.to_owned(), text::local);
            }
            _ => return part.to_owned(),
        };
        number().map_or_else(|| part.to_owned(), |number| counted(noun, number))
    }
}

/// What stands in place of each `{}`.
fn parts<'a>(pattern: &str, said: &'a str) -> Option<Vec<&'a str>> {
    let mut literals = pattern.split("{}");
    let mut rest = said.strip_prefix(literals.next()?)?;
    let mut parts = Vec::new();
    let mut literals = literals.peekable();
    while let Some(literal) = literals.next() {
        let (part, after) = match literals.peek() {
            Some(_) => rest.split_once(literal)?,
            None => (rest.strip_suffix(literal)?, ""),
        };
        parts.push(part);
        rest = after;
    }
    rest.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::super::{ENGLISH, KOREAN};
    use super::*;

    #[test]
    fn remarks_are_in_the_language_of_the_page() {
        let remark = |said: &str| [ENGLISH.remark(said), KOREAN.remark(said)];
        assert_eq!(
            remark("left out: 12 dead letters already replayed 3 times or more"),
            [
                "Left out: 12 dead letters already replayed 3 times or more.",
                "제외: 이미 3회 이상 재처리한 데드 레터 12건"
            ]
        );
        assert_eq!(
            remark("3 of 3 failed, more than 50 %"),
            ["3 of 3 failed, more than 50 %.", "3건 중 3건이 실패하여 기준(50%)을 넘었습니다."]
        );
        let both =
            "group b also reads t and will receive these messages again; --to retry sends them to a only";
        assert_eq!(
            ENGLISH.remark(both),
            "Group b also reads t and will receive these messages again. The first retry topic reaches a only."
        );
        let paused = "plugin p is paused since 2026-11-23T14:36:49.000Z, by kim: it moves: now; the messages wait until \
                      it is resumed: host plugin resume p";
        let since = text::local(1_795_444_609_000);
        assert_eq!(
            ENGLISH.remark(paused),
            format!(
                "Plugin p has been paused since {since} by kim: it moves: now. The messages wait until it is resumed."
            )
        );
        assert_eq!(remark("something new"), ["something new"; 2]);
    }

    #[test]
    fn a_remark_has_all_parts_that_its_text_names() {
        for (pattern, text) in PATTERNS {
            let count = pattern.matches("{}").count();
            for texts in [&ENGLISH, &KOREAN] {
                let text = text(&texts.remarks);
                let named =
                    (1..10).filter(|number| text.contains(&format!("{{{number}}}"))).max().unwrap_or(0);
                assert!(named <= count, "{pattern}: {text}");
            }
        }
        assert_eq!(parts("a {} b {}", "a 1 b 2 b 3"), Some(vec!["1", "2 b 3"]));
        assert_eq!(parts("a {}!", "a 1"), None);
        assert_eq!(parts("a", "a b"), None);
    }
}
