//! The texts of the pages about waiting retries.

texts! {
    /// Texts of the waiting retries.
    RetryTexts {}

    now: "now", "지금";
    title: "Waiting retries", "재시도 대기 메시지";
    lead: "Messages that failed and wait in the retry topics for their next attempt.", "실패 후 재시도 토픽에서 다음 시도를 기다리는 메시지입니다.";
    none: "No message is waiting", "대기 중인 메시지가 없습니다";
    none_detail: "No message waits for a retry, or none matches the filters.", "재시도를 기다리는 메시지가 없거나 조건에 맞는 메시지가 없습니다.";
    unread: "The retry topics are still being read. Not counted yet:", "재시도 토픽을 읽는 중입니다. 아직 집계되지 않은 건수:";
    not_read: "The retry topics have not been read yet.", "재시도 토픽을 아직 읽지 못했습니다.";
    problem: "The retry topics cannot be read, and the numbers may be out of date:", "재시도 토픽을 읽을 수 없어 최신 상태가 아닐 수 있습니다:";
    by_code: "By plugin, code and tier", "플러그인·코드·재시도 단계별";
    tier: "Tier", "재시도 단계";
    messages: "Messages", "메시지";
    recent: "New in 5 min", "최근 5분 신규";
    next_due: "Next due", "다음 재시도";
    last_due: "Last due", "마지막 재시도";
    failing_since: "Failing since", "실패 시작";
    due_first: "Due first", "먼저 재시도할 메시지";
    attempt: "Attempt", "시도";
    due: "Due", "재시도 시각";
    not_listed: "Messages not listed:", "표시하지 않은 메시지 수:";
    record: "Record", "레코드";
    run_now: "Run now", "지금 실행";
    postpone: "Postpone", "연기";
    give_up: "Give up", "포기";
    run_now_detail: "The messages are due now. Each is one attempt, as at its due time.", "메시지를 바로 재시도합니다. 예정된 재시도와 똑같이 시도 횟수에 포함됩니다.";
    postpone_detail: "The messages wait longer, 24 hours at most. No attempt is spent.", "메시지의 재시도를 최대 24시간까지 미룹니다. 시도 횟수는 늘어나지 않습니다.";
    give_up_detail: "The messages become dead letters without another attempt. They can be repaired and replayed.", "메시지를 더 시도하지 않고 데드 레터로 옮깁니다. 이후 수정하거나 재처리할 수 있습니다.";
    nothing_selected: "No message is selected. Nothing was changed.", "선택한 메시지가 없어 아무것도 변경하지 않았습니다.";
    type_number: "Number of messages, to confirm", "확인을 위해 메시지 수 입력";
    type_number_hint: "Nothing is changed if more messages match by then. While the number grows, enter a larger one.", "입력한 수보다 많은 메시지가 일치하면 아무것도 변경하지 않습니다. 계속 늘어나고 있다면 더 큰 수를 입력하세요.";
    minutes: "Minutes later than due", "예정보다 늦출 시간(분)";
    until: "Or until this time", "또는 이 시각까지";
    zone: "Time zone:", "시간대:";
    one_of_both: "Enter minutes or a time.", "시간(분)과 시각 중 하나를 입력하세요.";
    not_a_number: "Enter a whole number.", "정수를 입력하세요.";
    not_a_time: "Enter a time such as 2026-11-30T10:20.", "2026-11-30T10:20과 같은 형식으로 입력하세요.";
    all_matching_detail: "Applies to every message that matches the filters, listed or not. You confirm the number in the next step.", "목록에 없는 메시지를 포함하여 조건에 맞는 전체에 적용됩니다. 다음 단계에서 건수를 입력해 확인합니다.";
    decided: "Decided:", "결정한 메시지:";
    obeyed: "applied", "적용";
    too_late: "too late, already started", "이미 시작되어 적용 안 됨";
    replaced: "replaced by another decision", "다른 결정으로 대체됨";
    unanswered: "not confirmed yet", "확인 대기";
    gone: "no longer waiting", "더 이상 대기하지 않음";
}
