//! Everything the console says, in both languages.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

/// What there is of both languages stands in one line, so that none is forgotten.
macro_rules! words {
    ($($name:ident: $english:literal, $korean:literal;)*) => {
        /// What the console says in one language.
        pub struct Words { $(pub $name: &'static str,)* }

        /// English.
        pub static ENGLISH: Words = Words { $($name: $english,)* };
        /// Korean.
        pub static KOREAN: Words = Words { $($name: $korean,)* };

        #[cfg(test)]
        impl Words {
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

words! {
    lang: "en", "ko";
    other_lang: "ko", "en";
    other_lang_name: "한국어", "English";
    skip: "Skip to the content", "본문으로 바로 가기";
    rooms: "Rooms", "메뉴";
    overview: "Overview", "현황";
    groups: "Failures", "실패";
    letters: "Dead letters", "데드 레터";
    jobs: "Replays", "재처리";
    trials: "Trials", "시험 실행";
    actions: "Audit log", "작업 기록";
    search: "Search", "검색";
    search_hint: "Text in key, value, detail or id", "키·본문·오류 내용·ID에서 찾기";
    keys: "Keys", "단축키";
    close: "Close", "닫기";
    log_out: "Log out", "로그아웃";
    log_in: "Log in", "로그인";
    token: "Token", "토큰";
    token_hint: "The one that desk.token has in this host's configuration.", "이 호스트 설정의 desk.token 값입니다.";
    your_name: "Your name", "이름";
    your_name_hint: "Stands beside what you do, in the record.", "작업 기록에 함께 남습니다.";
    wrong_token: "This is not the token.", "토큰이 맞지 않습니다.";
    too_often: "Too many attempts. Wait a minute.", "시도가 너무 많습니다. 1분 뒤에 다시 해 보세요.";
    no_answer: "The host is not answering. This page catches up when it is back.", "호스트가 응답하지 않습니다. 다시 연결되면 화면이 저절로 갱신됩니다.";
    no_script: "Without JavaScript this page does not update by itself: reload it.", "JavaScript가 꺼져 있어 화면이 저절로 갱신되지 않습니다. 새로고침해 주세요.";
    starting: "The host is starting", "호스트를 시작하는 중입니다";
    starting_lead: "It waits for Kafka, or loads its plugins. This page tries again by itself.", "Kafka 연결을 기다리거나 플러그인을 불러오고 있습니다. 잠시 후 자동으로 다시 시도합니다.";
    what_fails: "What fails", "지금 실패하는 것";
    nothing_fails: "Nothing fails", "실패한 메시지가 없습니다";
    nothing_fails_lead: "No dead letter is open. What fails for good shows up here by itself.", "처리할 데드 레터가 없습니다. 최종 실패가 생기면 이 화면에 바로 나타납니다.";
    open: "Open", "미처리";
    replayed: "Replayed", "재처리됨";
    discarded: "Discarded", "폐기됨";
    any_state: "Any", "전체";
    state: "State", "상태";
    failure: "Failure", "실패 원인";
    plugin: "Plugin", "플러그인";
    since: "Since", "시작";
    last_time: "Last", "최근";
    last_hour: "Last hour", "최근 1시간";
    oldest: "Oldest", "가장 오래된 건";
    next_step: "Next step", "다음 작업";
    look: "Look into it", "살펴보기";
    all_groups: "All failures", "전체 보기";
    only_open: "Only those with open letters", "미처리 건이 있는 것만";
    plugins: "Plugins", "플러그인";
    topic: "Topic", "토픽";
    rate: "Rate", "처리율";
    per_second: "/s", "/초";
    done: "Done", "성공";
    failed: "Failed", "실패";
    failed_calls: "Failed calls", "실패한 호출";
    dead: "Dead", "최종 실패";
    retry_waiting: "Waiting for a retry", "재시도 대기";
    lag: "Lag", "랙";
    this_process: "Counted by this process since its start, for its own partitions.", "이 프로세스가 시작된 뒤 맡은 파티션에서 센 값입니다.";
    first_seen: "First seen", "처음 발생";
    last_seen: "Last seen", "마지막 발생";
    digest: "Digest of the plugin", "플러그인 다이제스트";
    last_day: "Letters an hour, in the last 24 hours", "최근 24시간 시간당 건수";
    note: "Note", "메모";
    note_hint: "What should the next person know?", "다음 담당자가 알아야 할 내용을 적어 주세요.";
    save: "Save", "저장";
    closed: "closed", "종료됨";
    close_group: "Cause is mended: close", "원인 해결, 종료하기";
    reopen_group: "Open again", "다시 열기";
    closed_lead: "Somebody said that the cause is mended. It opens again by itself when it fails again.", "원인이 해결된 것으로 표시되었습니다. 다시 실패하면 자동으로 다시 열립니다.";
    try_build: "Try a build", "빌드 시험";
    replay: "Replay", "재처리";
    discard: "Discard", "폐기";
    restore: "Restore", "되돌리기";
    edit: "Edit", "수정";
    message: "Message", "메시지";
    attempts: "Attempts", "시도 횟수";
    when: "When", "시각";
    code: "Code", "코드";
    text: "Text", "텍스트";
    apply: "Apply", "적용";
    clear: "Clear", "초기화";
    select: "Select", "선택";
    with_all: "With all of them:", "조건에 맞는 전체:";
    all_of_them: "All of them", "전체 보기";
    with_selected: "With the selected ones:", "선택한 건:";
    first_page: "Newest", "최신";
    newer: "Newer", "이전";
    older: "Older", "다음";
    last_page: "Oldest", "마지막";
    pages: "Pages", "페이지";
    no_letters: "No such letters", "조건에 맞는 데드 레터가 없습니다";
    no_letters_lead: "Nothing matches these conditions.", "검색 조건을 바꾸거나 초기화해 보세요.";
    payload: "Payload", "본문";
    key: "Key", "키";
    null: "null", "null";
    tombstone: "null (a tombstone)", "null (톰스톤)";
    value_cut: "The value was cut out: the dead-letter topic refused it for its size, in bytes:", "데드 레터 토픽의 크기 제한 때문에 본문이 빠졌습니다. 원래 크기(바이트):";
    bytes: "bytes", "바이트";
    shown_in_part: "Only the beginning is shown.", "앞부분만 표시합니다.";
    download: "Download", "내려받기";
    headers: "Headers", "헤더";
    sender_headers: "From the sender", "보낸 쪽 헤더";
    added_headers: "Added on the way", "처리 중 추가된 헤더";
    none: "none", "없음";
    cause: "Cause", "원인";
    backtrace: "Backtrace", "백트레이스";
    timeline: "Timeline", "타임라인";
    published: "Published", "발행";
    failed_first: "Failed for the first time", "첫 실패";
    became_dead: "Given up after its last attempt", "마지막 시도까지 실패";
    taken_in: "Taken in by the desk", "데스크에 접수";
    edited_here: "edited here", "이곳에서 수정됨";
    edited_from: "Edited copy of", "수정 전 원본";
    edit_lead: "The original is kept. The edited copy is a message of its own, with an id of its own.", "원본은 그대로 두고, 새 ID를 가진 별도의 메시지로 저장합니다.";
    value: "Value", "본문";
    reason: "Reason", "사유";
    reason_needed: "Say why.", "사유를 적어 주세요.";
    show_difference: "Show the difference", "변경 내용 확인";
    difference: "Difference", "변경 내용";
    no_difference: "Nothing was changed.", "변경된 내용이 없습니다.";
    keep_copy: "Keep the copy and replay it", "저장하고 재처리";
    not_text: "This value is not text. It can be edited from the command line: host dlt edit.", "텍스트가 아닌 본문은 명령줄(host dlt edit)에서 수정할 수 있습니다.";
    cancel: "Cancel", "취소";
    replay_lead: "The letters are frozen now, and sent back in their order.", "지금 조건에 맞는 건을 확정해 오래된 순서대로 다시 보냅니다.";
    to_topic: "to", "→";
    warning: "Warning", "주의";
    none_to_send: "None of these letters can be sent: they are not open, or were replayed too often.", "보낼 수 있는 건이 없습니다. 이미 처리되었거나 재처리 횟수 한도를 넘었습니다.";
    target: "Where to", "보낼 곳";
    to_source: "Their own topic", "원본 토픽";
    to_source_hint: "every group that reads it gets them", "이 토픽을 읽는 모든 그룹이 받습니다";
    to_retry: "This group's first retry topic", "이 그룹의 첫 재시도 토픽";
    to_retry_hint: "this group alone gets them", "이 그룹만 받습니다";
    ramp: "Steps", "단계";
    ramp_hint: "Sizes, each waits for the outcomes of the one before; empty: all at once", "앞 단계 결과를 확인한 뒤 다음 단계로 넘어갑니다. 비우면 한꺼번에 보냅니다";
    rate_limit: "Letters a second", "초당 건수";
    no_limit: "empty: no limit", "비우면 제한 없음";
    stop_above: "Stop when more than this share of a step fails (%)", "한 단계의 실패율이 이 값을 넘으면 중단(%)";
    start_replay: "Start the replay", "재처리 시작";
    running: "running", "진행 중";
    paused: "paused", "일시 정지";
    stopped: "stopped", "중단됨";
    cancelled: "cancelled", "취소됨";
    ended: "done", "완료";
    trial_failed: "broke off", "실패";
    pause: "Pause", "일시 정지";
    resume: "Go on", "계속";
    end_it: "End it", "끝내기";
    progress: "Progress", "진행 상황";
    waiting: "Waiting", "대기";
    under_way: "Under way", "처리 중";
    unknown: "Unknown", "결과 모름";
    gone: "Not sent", "보내지 않음";
    step: "Step", "단계";
    started: "Started", "시작";
    by: "by", "담당";
    no_jobs: "Nothing was replayed yet", "아직 재처리한 적이 없습니다";
    no_jobs_lead: "Choose what to send back among the failures.", "실패 목록에서 다시 보낼 건을 고르세요.";
    job_done_lead: "Everything was sent and has its outcome.", "모두 보냈고 결과가 나왔습니다.";
    see_open: "What of these letters is still open", "남은 미처리 건 보기";
    discard_lead: "They are given up, and can be restored.", "폐기한 건은 나중에 되돌릴 수 있습니다.";
    restore_lead: "They are open again.", "다시 미처리 상태가 됩니다.";
    how_many: "Letters", "건수";
    letters_count: "letters", "건";
    all_letters: "This means every letter.", "모든 데드 레터가 대상입니다.";
    nothing_to_turn: "None of these letters is in the right state.", "해당하는 상태의 건이 없습니다.";
    try_lead: "The build is given these letters in the sandbox. Nothing is sent, and no letter changes.", "새 빌드에 이 메시지들을 샌드박스 안에서 넣어 봅니다. 실제로는 아무것도 보내지 않으며 데드 레터도 그대로입니다.";
    build_file: "The build (.wasm)", "빌드 파일(.wasm)";
    start_trial: "Start the trial", "시험 시작";
    would_pass: "would pass", "건이 통과합니다";
    of_all: "of", "/";
    still_fail: "still fail", "건은 여전히 실패";
    cannot_try: "cannot be tried: their value was cut out, or they are gone", "건은 본문이 없어 시험할 수 없음";
    no_settings: "The build has no settings: this host runs no plugin of that name with a configuration.", "같은 이름의 플러그인 설정이 이 호스트에 없어 설정 없이 실행했습니다.";
    would_be_sent: "Would have been sent", "보냈을 내용";
    times: "Times", "횟수";
    examples: "Examples", "예";
    passes: "passes", "통과";
    would_send_this: "It would have sent", "보냈을 내용";
    log: "Log", "로그";
    replay_passing: "Replay those that pass", "통과한 건만 재처리";
    no_trials: "No build was tried yet", "아직 시험한 빌드가 없습니다";
    no_trials_lead: "A new build can be given dead letters before it is deployed. Choose some among the failures.", "배포하기 전에 새 빌드로 데드 레터를 처리해 볼 수 있습니다. 실패 목록에서 골라 보세요.";
    trials_kept: "The last few of this process.", "이 프로세스의 최근 기록만 남습니다.";
    who: "Who", "담당";
    what: "What", "작업";
    no_actions: "Nobody has done anything yet", "아직 작업 기록이 없습니다";
    no_actions_lead: "Who did what, when and why stands here.", "누가 언제 무엇을 왜 했는지 여기에 남습니다.";
    not_found: "There is nothing here", "찾을 수 없습니다";
    not_found_lead: "It may have been deleted by its age, or the address is wrong.", "보관 기간이 지나 삭제되었거나 주소가 잘못되었습니다.";
    went_wrong: "This did not work", "처리하지 못했습니다";
    back: "Back to the overview", "현황으로 돌아가기";
    form_expired: "This form is no longer valid. Go back, reload the page and send it again; nothing was changed.", "이 양식은 더 이상 유효하지 않습니다. 이전 화면을 새로고침한 뒤 다시 시도해 주세요. 변경된 내용은 없습니다.";
    key_rooms: "g then o, g, l, j, t, r: overview, failures, letters, replays, trials, record", "g 다음 o, g, l, j, t, r: 현황, 실패, 데드 레터, 재처리, 시험 실행, 작업 기록";
    key_search: "/: search", "/: 검색";
    key_list: "j, k: next and previous in a list; Enter opens", "j, k: 목록에서 아래·위로, Enter로 열기";
    key_help: "?: this list", "?: 이 도움말";
    now: "just now", "방금";
    act_replay: "replay", "재처리";
    act_discard: "discard", "폐기";
    act_restore: "restore", "되돌리기";
    act_edit: "edit", "수정";
    act_note: "note", "메모";
    act_close: "close", "종료";
    act_reopen: "reopen", "다시 열기";
    act_pause: "pause", "일시 정지";
    act_resume: "resume", "계속";
    act_cancel: "cancel", "끝내기";
    act_import: "import", "가져오기";
    act_export: "export", "내보내기";
    act_try: "trial", "시험 실행";
}

impl Words {
    /// The words of this language, where there are some.
    pub fn of(lang: &str) -> Option<&'static Self> {
        [&ENGLISH, &KOREAN].into_iter().find(|words| words.lang == lang)
    }

    /// The client's best of the two: the highest weight, the first among equals, English if neither.
    pub fn accepted(headers: &HeaderMap) -> &'static Self {
        let ranges = headers.get_all(ACCEPT_LANGUAGE).into_iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, &ENGLISH);
        for range in ranges.flat_map(|value| value.split(',')) {
            let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
            let weight = weight.trim().parse().unwrap_or(0.0);
            let tag = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            if let Some(words) = Self::of(&tag).filter(|_| weight > best.0) {
                best = (weight, words);
            }
        }
        best.1
    }

    /// What is written in the record.
    pub fn action(&self, what: &str) -> String {
        let known = match what {
            "replay" => self.act_replay,
            "discard" => self.act_discard,
            "restore" => self.act_restore,
            "edit" => self.act_edit,
            "note" => self.act_note,
            "close" => self.act_close,
            "reopen" => self.act_reopen,
            "pause" => self.act_pause,
            "resume" => self.act_resume,
            "cancel" => self.act_cancel,
            "import" => self.act_import,
            "export" => self.act_export,
            "try" => self.act_try,
            other => return other.to_owned(),
        };
        known.to_owned()
    }

    /// How long ago that was, in one unit.
    pub fn ago(&self, seconds: i64) -> String {
        let (number, english, korean) = match seconds.max(0) {
            0..10 => return self.now.to_owned(),
            seconds @ 10..60 => (seconds, "s ago", "초 전"),
            seconds @ 60..3600 => (seconds / 60, "min ago", "분 전"),
            seconds @ 3600..172_800 => (seconds / 3600, "h ago", "시간 전"),
            seconds => (seconds / 86_400, "d ago", "일 전"),
        };
        if self.lang == "ko" { format!("{number}{korean}") } else { format!("{number} {english}") }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn nothing_is_left_untranslated() {
        for ((name, english), (_, korean)) in ENGLISH.all().into_iter().zip(KOREAN.all()) {
            assert!(!english.is_empty() && !korean.is_empty(), "{name}");
            let is_hangul = |text: &str| text.chars().any(|c| ('가'..='힣').contains(&c));
            if name == "other_lang_name" {
                continue;
            }
            assert!(!is_hangul(english), "{name}: {english}");
            let same_in_both = ["lang", "other_lang", "null", "to_topic", "of_all"].contains(&name);
            assert!(same_in_both || is_hangul(korean), "{name}: {korean}");
        }
    }

    #[test]
    fn the_browser_says_which_language() {
        let of = |text: &'static str| {
            Words::accepted(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(text))])).lang
        };
        assert_eq!(
            [of("ko-KR,ko;q=0.9,en;q=0.8"), of("en-GB"), of("fr, ko;q=0.3"), of("fr")],
            ["ko", "en", "ko", "en"]
        );
        assert_eq!(Words::accepted(&HeaderMap::new()).lang, "en");
    }

    #[test]
    fn ages_have_one_unit() {
        assert_eq!(
            [ENGLISH.ago(3), ENGLISH.ago(59), ENGLISH.ago(125), ENGLISH.ago(7300)],
            ["just now", "59 s ago", "2 min ago", "2 h ago"]
        );
        assert_eq!([KOREAN.ago(-5), KOREAN.ago(200_000)], ["방금", "2일 전"]);
    }
}
