//! The texts of all pages; [`desk`](super::desk), [`retries`](super::retries) and [`rooms`](super::rooms) have those of
//! some.

use super::desk::DeskTexts;
use super::remarks::RemarkTexts;
use super::retries::RetryTexts;
use super::rooms::RoomTexts;

texts! {
    /// Texts in one language.
    Texts { desk: DeskTexts, remarks: RemarkTexts, retries: RetryTexts, rooms: RoomTexts }

    lang: "en", "ko";
    other_lang: "ko", "en";
    other_lang_name: "한국어", "English";

    // Layout
    skip: "Skip to content", "본문으로 바로가기";
    navigation: "Navigation", "메뉴";
    overview: "Overview", "현황";
    failures: "Failures", "실패";
    dead_letters: "Dead letters", "데드 레터";
    replays: "Replays", "재처리";
    trials: "Trials", "빌드 시험";
    audit_log: "Audit log", "감사 로그";
    search: "Search", "검색";
    search_hint: "Search text or an ID", "키, 값, 오류 내용, ID 검색";
    shortcuts: "Shortcuts", "단축키";
    close: "Close", "닫기";
    log_out: "Log out", "로그아웃";
    host_unreachable: "The host is not responding. This page updates as soon as it is available again.", "호스트가 응답하지 않습니다. 다시 연결되면 화면이 자동으로 갱신됩니다.";
    no_script: "JavaScript is disabled. Reload the page to update it.", "JavaScript가 비활성화되어 화면이 자동으로 갱신되지 않습니다. 페이지를 새로고침하세요.";
    key_navigation: "g, then the letter that the navigation shows: open a page", "g를 누른 다음 메뉴에 표시된 글자: 페이지 이동";
    key_search: "/: search", "/: 검색";
    key_list: "j, k: next and previous row; Enter: open", "j, k: 다음 행, 이전 행 / Enter: 열기";
    key_help: "?: show shortcuts", "?: 단축키 보기";

    // Login
    log_in: "Log in", "로그인";
    token: "Token", "토큰";
    token_hint: "The value of desk.token in the host's configuration.", "호스트 설정의 desk.token 값입니다.";
    user_name: "Your name", "이름";
    user_name_hint: "Recorded in the audit log.", "감사 로그에 기록됩니다.";
    wrong_token: "The token is incorrect.", "토큰이 올바르지 않습니다.";
    too_many_attempts: "Too many attempts. Try again in a minute.", "로그인 시도가 너무 많습니다. 1분 후 다시 시도하세요.";

    // Errors
    starting: "The host is starting", "호스트를 시작하는 중입니다";
    starting_detail: "It is connecting to Kafka or loading plugins. This page reloads automatically.", "Kafka에 연결하거나 플러그인을 불러오는 중입니다. 페이지가 자동으로 새로고침됩니다.";
    not_found: "Not found", "찾을 수 없습니다";
    not_found_detail: "The address is wrong, or the item was deleted after its retention period.", "주소가 잘못되었거나 보존 기간이 지나 삭제된 항목입니다.";
    request_failed: "The request failed", "요청을 처리하지 못했습니다";
    form_expired: "The form has expired; nothing was changed. Go back, reload the page and submit it again.", "양식이 만료되어 변경 사항을 저장하지 않았습니다. 이전 페이지를 새로고침한 후 다시 제출하세요.";
    reason_required: "Enter a reason.", "사유를 입력하세요.";
    reason_too_long: "The reason is too long. The limit is 1,000 characters.", "사유는 1,000자까지 입력할 수 있습니다.";
    back: "Back to the overview", "현황으로 돌아가기";

    // Terms
    state: "State", "상태";
    failure: "Failure", "실패";
    plugin: "Plugin", "플러그인";
    plugins: "Plugins", "플러그인";
    topic: "Topic", "토픽";
    message: "Message", "메시지";
    attempts: "Attempts", "시도 횟수";
    time: "Time", "시각";
    code: "Code", "코드";
    text: "Text", "텍스트";
    count: "Count", "건수";
    reason: "Reason", "사유";
    actor: "User", "사용자";
    action: "Action", "작업";
    actions: "Actions", "작업";
    started: "Started", "시작 시각";
    progress: "Progress", "진행률";
    open: "Open", "미처리";
    replayed: "Replayed", "재처리됨";
    discarded: "Discarded", "폐기됨";
    running: "Running", "진행 중";
    paused: "Paused", "일시 중지됨";
    stopped: "Stopped", "중단됨";
    cancelled: "Cancelled", "취소됨";
    completed: "Done", "완료";
    aborted: "Aborted", "오류로 중단됨";
    replay: "Replay", "재처리";
    discard: "Discard", "폐기";
    restore: "Restore", "복원";
    edit: "Edit", "수정";
    try_build: "Try a build", "빌드 시험";
    view: "View", "보기";
    cancel: "Cancel", "취소";
    save: "Save", "저장";
    all: "All", "전체";
    view_all: "View all", "전체 보기";
    now: "just now", "방금 전";

    // Overview and failures
    open_failures: "Open failures", "미해결 실패";
    no_failures: "No open failures", "미해결 실패가 없습니다";
    no_failures_detail: "There are no open dead letters. New failures appear here automatically.", "미처리 데드 레터가 없습니다. 새로운 실패가 발생하면 자동으로 표시됩니다.";
    only_open: "With open dead letters", "미처리 건만";
    last_hour: "Last hour", "최근 1시간";
    first_seen: "First seen", "최초 발생";
    last_seen: "Last seen", "최근 발생";
    oldest_open: "Oldest open", "가장 오래된 미처리 건";
    failed: "Failed", "실패";
    failed_calls: "Failed calls", "실패한 호출";
    dead_lettered: "Dead-lettered", "데드 레터";
    lag: "Lag", "랙";
    counted_since_start: "Counted by this process since it started, for the partitions assigned to it.", "이 프로세스가 시작된 후 할당된 파티션에서 집계한 값입니다.";
    destinations: "Destinations", "발송 대상";
    destination: "Destination", "대상";
    works: "Works", "정상";
    does_not_work: "Down", "장애";
    in_use: "In use", "사용 중";
    room: "Room", "허용량";
    learned: "learned", "학습됨";
    effects_waiting: "Waiting", "대기";
    destinations_detail: "Mail and HTTP servers as this process knows them. What waits for one spends no attempt and continues by itself.", "이 프로세스가 파악한 메일 서버와 HTTP 서버의 상태입니다. 대기 중인 작업은 시도 횟수를 쓰지 않으며, 복구되면 자동으로 재개됩니다.";
    handling: "Running", "실행 중";
    resting: "Resting", "휴지 중";
    resting_detail: "Calls fail; one message at a time probes the plugin.", "호출이 계속 실패하여 메시지를 한 건씩만 시험합니다.";
    pauses_unread: "The store is unavailable, so pauses by other hosts are not known here.", "저장소에 연결할 수 없어 다른 호스트의 일시 중지 상태를 확인할 수 없습니다.";
    pause_plugin: "Pause plugin", "플러그인 일시 중지";
    pause_plugin_detail: "Every host with this store stops handing messages to the plugin. They stay in Kafka, and calls in progress may finish.", "이 저장소를 사용하는 모든 호스트가 플러그인에 메시지를 전달하지 않습니다. 메시지는 Kafka에 남아 있으며, 진행 중인 호출은 끝까지 처리됩니다.";
    resume_plugin: "Resume plugin", "플러그인 재개";
    resume_plugin_detail: "The plugin is handed the messages that have waited, and no attempt was spent.", "대기 중이던 메시지를 다시 전달합니다. 시도 횟수는 늘어나지 않았습니다.";
    partitions: "Partitions", "파티션";
    partition: "Partition", "파티션";
    partitions_detail: "Partitions assigned to this process. Those that are not read continue by themselves.", "이 프로세스에 할당된 파티션입니다. 읽기가 멈춘 파티션은 자동으로 재개됩니다.";
    not_read: "Not read:", "읽기 멈춤:";
    unlisted_partitions: "Partitions not listed:", "표시하지 않은 파티션 수:";
    in_progress: "In progress", "처리 중";
    held_keys: "Held keys", "보류된 키";
    held_keys_detail: "Messages that follow a dead letter of their key become dead letters too, until the key is released.", "같은 키의 데드 레터 뒤에 오는 메시지는 키 보류를 해제할 때까지 함께 데드 레터가 됩니다.";
    unlisted_keys: "Keys not listed:", "표시하지 않은 키 수:";
    release: "Release", "보류 해제";
    release_all: "Release all", "모두 해제";
    release_keys: "Release held keys", "키 보류 해제";
    release_keys_detail: "Later messages are handled again, in every host of the consumer group. The dead letters stay; replay them before, or what they would have done is missing.", "컨슈머 그룹의 모든 호스트가 이후 메시지를 다시 처리합니다. 데드 레터는 그대로 남으므로, 필요하면 먼저 재처리하세요.";
    held_since: "Held", "보류 시각";
    first_dead_letter: "Dead letter", "데드 레터";
    reading: "Reading", "읽는 중";
    blocked: "Blocked", "막힘";
    draining: "Draining", "인계 중";
    commit_unknown: "Its commit is unknown, and Kafka does not tell.", "커밋된 위치를 알 수 없고 Kafka가 응답하지 않습니다.";
    publish_fails: "A failed message cannot be published.", "실패한 메시지를 발행하지 못하고 있습니다.";
    nothing_fetched: "Kafka does not deliver its messages.", "Kafka에서 메시지를 가져오지 못하고 있습니다.";
    too_many_unfinished: "Too many messages wait in front of others that are finished.", "먼저 읽은 메시지가 너무 많이 대기하고 있습니다.";
    too_much_memory: "The messages that wait take all the memory they may have.", "대기 중인 메시지가 허용된 메모리를 모두 쓰고 있습니다.";
    too_many_keys: "A commit has no room for more waiting messages of an order by key.", "대기 중인 메시지를 더 기록할 공간이 커밋에 없습니다.";
    predecessor_unfinished: "The message before is in progress or waits for its retry.", "앞선 메시지가 처리 중이거나 재시도를 기다리고 있습니다.";
    digest: "Plugin digest", "플러그인 다이제스트";
    per_hour: "Dead letters per hour, last 24 hours", "최근 24시간 시간당 데드 레터 수";
    note: "Note", "메모";
    note_hint: "What should other operators know?", "다른 담당자가 알아야 할 내용을 입력하세요.";
    closed: "Fixed", "해결됨";
    closed_detail: "Marked as fixed. A new dead letter reopens the failure.", "해결된 것으로 표시되었습니다. 같은 실패가 다시 발생하면 자동으로 다시 열립니다.";
    close_failure: "Mark as fixed", "해결됨으로 표시";
    reopen_failure: "Reopen", "다시 열기";

    // Dead letters
    apply: "Apply", "적용";
    clear: "Clear", "초기화";
    select: "Select", "선택";
    with_selected: "Selected:", "선택한 항목:";
    first_page: "Newest", "최신";
    newer: "Newer", "이전";
    older: "Older", "다음";
    last_page: "Oldest", "마지막";
    pages: "Pages", "페이지";
    no_dead_letters: "No dead letters found", "데드 레터가 없습니다";
    no_dead_letters_detail: "No dead letter matches the filters.", "조건에 맞는 데드 레터가 없습니다. 조건을 바꾸거나 초기화하세요.";
    cause: "Cause", "원인";
    backtrace: "Backtrace", "백트레이스";
    payload: "Payload", "페이로드";
    key: "Key", "키";
    value: "Value", "값";
    null: "null", "null";
    tombstone: "null (tombstone)", "null (툼스톤)";
    value_cut: "The value was cut: it exceeded the dead-letter topic's size limit. Original size in bytes:", "데드 레터 토픽의 크기 제한을 초과하여 값이 제거되었습니다. 원래 크기(바이트):";
    bytes: "bytes", "바이트";
    truncated: "truncated", "일부만 표시됨";
    download: "Download", "다운로드";
    headers: "Headers", "헤더";
    sender_headers: "Set by the sender", "발신자가 설정한 헤더";
    added_headers: "Added during processing", "처리 중 추가된 헤더";
    none: "none", "없음";
    timeline: "Timeline", "타임라인";
    published: "Published", "발행";
    first_failure: "First failure", "최초 실패";
    dead_lettered_event: "Dead-lettered after the last attempt", "마지막 시도 실패, 데드 레터로 이동";
    ingested: "Stored by the desk", "데스크에 저장";
    edited_copy: "edited copy", "수정된 사본";
    edited_from: "Edited copy of", "원본:";
    changes: "Changes", "변경 내용";
    no_changes: "Nothing was changed.", "변경된 내용이 없습니다.";
    not_text: "The value is not text, or is too large. Edit it on the command line: host dlt edit", "값이 텍스트가 아니거나 너무 큽니다. 명령줄(host dlt edit)에서 수정하세요.";
    discard_detail: "Discarded dead letters can be restored.", "폐기한 데드 레터는 복원할 수 있습니다.";
    restore_detail: "Restored dead letters are open again.", "복원한 데드 레터는 다시 미처리 상태가 됩니다.";
    nothing_to_change: "No matching dead letter is in the required state.", "해당 상태의 데드 레터가 없습니다.";

    // Replays
    replay_detail: "The selection is fixed when the replay starts. The oldest dead letters are sent first.", "재처리를 시작하는 시점에 대상이 확정되며, 오래된 데드 레터부터 전송합니다.";
    to_topic: "to", "→";
    warning: "Warning", "주의";
    none_to_send: "No matching dead letter can be sent: none is open, or all were replayed too often.", "재처리할 수 있는 데드 레터가 없습니다. 미처리 상태가 아니거나 재처리 횟수 제한을 초과했습니다.";
    target: "Target topic", "대상 토픽";
    to_source: "Original topic", "원본 토픽";
    to_source_hint: "received by every consumer group of the topic", "토픽을 구독하는 모든 컨슈머 그룹이 수신합니다";
    to_retry: "First retry topic", "첫 번째 재시도 토픽";
    to_retry_hint: "received only by the consumer group in which they failed", "실패가 발생한 컨슈머 그룹만 수신합니다";
    ramp: "Step sizes", "단계별 건수";
    ramp_hint: "Each step starts when the previous one has its outcomes. Leave empty for a single step.", "이전 단계의 결과가 모두 확인되면 다음 단계를 시작합니다. 비워 두면 한 번에 전송합니다.";
    rate_limit: "Dead letters per second", "초당 최대 건수";
    no_limit: "no limit", "제한 없음";
    stop_above: "Stop above failure rate (%)", "단계 실패율이 이 값을 넘으면 중단(%)";
    start_replay: "Start replay", "재처리 시작";
    pause: "Pause", "일시 중지";
    resume: "Resume", "재개";
    cancel_replay: "Cancel replay", "재처리 취소";
    waiting: "Waiting", "대기";
    sent: "Sent, no outcome yet", "전송됨(결과 대기)";
    unknown: "Unknown outcome", "결과 불명";
    skipped: "Skipped", "건너뜀";
    steps: "Finished steps", "완료한 단계";
    no_replays: "No replays yet", "재처리 내역이 없습니다";
    no_replays_detail: "Start one from the list of failures.", "실패 목록에서 재처리를 시작할 수 있습니다.";
    replay_done: "All dead letters were sent and have an outcome.", "모든 데드 레터를 전송하고 결과를 확인했습니다.";
    see_open: "Dead letters of this selection that are still open", "아직 미처리 상태인 데드 레터 보기";

    // Trials
    try_detail: "The build processes the dead letters in the sandbox. Nothing is sent, and no dead letter changes.", "새 빌드가 샌드박스에서 데드 레터를 처리합니다. 실제로는 아무것도 전송하지 않으며 데드 레터도 변경되지 않습니다.";
    build_file: "Build (.wasm)", "빌드 파일(.wasm)";
    start_trial: "Start trial", "시험 시작";
    cancel_trial: "Cancel trial", "시험 취소";
    passed: "Passed", "통과";
    untestable: "Cannot be tried", "시험 불가";
    no_settings: "The build ran without settings: this host has no configured plugin with that name.", "이 호스트에 같은 이름으로 설정된 플러그인이 없어 설정 없이 실행했습니다.";
    withheld: "This is not the build that the host runs. It got a placeholder for, or ran without:", "호스트에서 실행 중인 빌드가 아니므로 다음 값은 대체 값을 주거나 제공하지 않았습니다:";
    effects: "Effects that would be sent", "전송될 내용";
    examples: "Examples", "예시";
    log: "Log", "로그";
    replay_passed: "Replay what passed", "통과한 건 재처리";
    no_trials: "No trials yet", "빌드 시험 내역이 없습니다";
    no_trials_detail: "Try a new build on dead letters before you deploy it. Start from the list of failures.", "새 빌드를 배포하기 전에 데드 레터로 시험할 수 있습니다. 실패 목록에서 시작하세요.";
    trials_kept: "Only the last trials of this process are kept.", "이 프로세스에서 실행한 최근 시험만 표시합니다.";

    // Audit log
    no_audit_entries: "The audit log is empty", "감사 로그가 비어 있습니다";
    no_audit_entries_detail: "It records who did what, when and why.", "누가 언제 무엇을 왜 했는지 기록됩니다.";
    action_replay: "Replay", "재처리";
    action_discard: "Discard", "폐기";
    action_restore: "Restore", "복원";
    action_edit: "Edit", "수정";
    action_note: "Note", "메모";
    action_close: "Mark as fixed", "해결됨으로 표시";
    action_reopen: "Reopen", "다시 열기";
    action_pause: "Pause replay", "재처리 일시 중지";
    action_resume: "Resume replay", "재처리 재개";
    action_cancel: "Cancel replay", "재처리 취소";
    action_import: "Import", "가져오기";
    action_export: "Export", "내보내기";
    action_try: "Trial", "빌드 시험";
    action_pause_plugin: "Pause plugin", "플러그인 일시 중지";
    action_resume_plugin: "Resume plugin", "플러그인 재개";

    // Numbers
    n_dead_letters: "1 dead letter|{} dead letters", "데드 레터 {}건";
    n_messages: "1 message|{} messages", "메시지 {}건";
    n_partitions: "1 partition|{} partitions", "파티션 {}개";
    n_keys: "1 key|{} keys", "키 {}개";
    n_groups: "1 group|{} groups", "컨슈머 그룹 {}개";
    n_ids: "1 ID|{} IDs", "ID {}개";

    // Times
    seconds_ago: "{} s ago", "{}초 전";
    minutes_ago: "{} min ago", "{}분 전";
    hours_ago: "{} h ago", "{}시간 전";
    days_ago: "{} d ago", "{}일 전";
    in_seconds: "in {} s", "{}초 후";
    in_minutes: "in {} min", "{}분 후";
    in_hours: "in {} h", "{}시간 후";
    milliseconds: "{} ms", "{}밀리초";
    seconds: "{} s", "{}초";
    minutes: "{} min", "{}분";
    hours: "{} h", "{}시간";
    days: "{} d", "{}일";
}
