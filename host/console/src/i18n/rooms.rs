//! The texts of the health strip, the overview's charts, and the rooms Plugins, Topics and Settings.

texts! {
    /// Texts of the rooms that show what runs.
    RoomTexts {}

    // Layout
    theme_light: "Light", "밝게";
    theme_dark: "Dark", "어둡게";
    theme_auto: "System theme", "시스템 테마";

    // Health
    health: "Health", "상태";
    works: "works", "정상";
    waits: "waits", "대기 중";
    down: "down", "장애";
    kafka: "Kafka", "Kafka";
    store: "Store", "저장소";
    groups_joined: "Groups joined", "참여한 그룹";
    partitions_read: "Partitions read", "읽는 파티션";
    destinations_work: "Destinations", "발송 대상";
    effects_wait: "waiting", "건 대기";
    group: "Group", "그룹";
    group_joining: "has not joined yet", "아직 참여하지 않았습니다";
    group_failed: "This member has failed. Restart the host; the log has the cause.", "그룹 참여가 중단되었습니다. 로그를 확인하고 호스트를 다시 시작하세요.";
    store_away: "The store does not answer.", "저장소가 응답하지 않습니다.";
    kafka_away: "Kafka does not answer.", "Kafka가 응답하지 않습니다.";
    since: "since", "시작:";

    // Overview
    handled: "Handled", "처리";
    handled_unit: "messages/s", "건/초";
    failed_calls: "Failed calls", "실패한 호출";
    failed_unit: "calls/s", "건/초";
    waiting: "Waiting for retry", "재시도 대기";
    waiting_unit: "messages", "건";
    lag: "Lag", "랙";
    lag_unit: "messages", "건";
    unknown: "unknown", "알 수 없음";
    highest: "highest", "최대";
    hour: "Last hour", "최근 1시간";
    day: "Last 24 hours", "최근 24시간";
    range: "Time range", "기간";
    handled_total: "Handled since start", "시작 후 처리";
    growth: "The failures that grow most come first.", "가장 빠르게 늘어나는 실패부터 표시합니다.";

    // Plugins
    plugins: "Plugins", "플러그인";
    plugins_detail: "The plugins of this process: version, permissions, limits, and how they run.", "이 프로세스가 실행하는 플러그인의 버전, 권한, 제한, 실행 방식입니다.";
    contract: "Contract", "계약 버전";
    isolation: "Isolation", "격리";
    isolation_reset: "Each message has a clean instance: instances are reset after each message.", "메시지마다 인스턴스를 초기화하여 사용합니다.";
    isolation_new: "Each message has a new instance.", "메시지마다 새 인스턴스를 만듭니다.";
    isolation_kept: "Messages share instances, one at a time.", "여러 메시지가 인스턴스를 차례로 함께 사용합니다.";
    isolation_why: "Instances cannot be reset:", "인스턴스를 초기화할 수 없는 이유:";
    instances: "Idle instances", "유휴 인스턴스";
    concurrency: "Calls at the same time", "동시 호출 수";
    batch: "Messages in a call", "호출당 메시지 수";
    ordering: "Ordering", "순서";
    grants: "Permissions", "권한";
    no_grants: "It imports no capability.", "외부 기능을 사용하지 않습니다.";
    granted: "granted", "허용됨";
    denied: "not granted", "허용되지 않음";
    limits: "Limits of a call", "호출 제한";
    dead_letter_topic: "Dead-letter topic", "데드 레터 토픽";
    last_failures: "Open failures", "미해결 실패";
    no_failures: "none", "없음";

    // Topics and groups
    topics: "Topics and groups", "토픽과 그룹";
    topics_short: "Topics", "토픽";
    topics_detail: "Partitions, lag and retention of each topic, and the members of each consumer group.", "토픽별 파티션, 랙, 보존 기간과 컨슈머 그룹별 멤버입니다.";
    used_as: "Use", "용도";
    source: "source", "원본";
    retry: "retry", "재시도";
    dead_letter: "dead letters", "데드 레터";
    retention: "Retention", "보존 기간";
    retention_needed: "Needed", "필요 기간";
    retention_short: "too short", "부족";
    retention_forever: "for ever", "무제한";
    retention_detail: "A retry topic must keep a record for the longest wait of a retry and for an absence of the host of three days.", "재시도 토픽은 가장 긴 재시도 대기 시간과 호스트 중단 3일을 더한 기간 동안 레코드를 보존해야 합니다.";
    groups: "Consumer groups", "컨슈머 그룹";
    members: "Members", "멤버";
    this_process: "this process", "이 프로세스";
    no_members: "no members listed", "표시할 멤버가 없습니다";
    not_told: "Kafka did not list the members:", "Kafka에서 멤버 목록을 받지 못했습니다:";
    offset: "Offset", "오프셋";

    // Settings
    settings: "Settings", "설정";
    settings_detail: "The effective configuration, as host config show prints it. Secrets are masked.", "현재 적용된 설정입니다(host config show 출력과 같음). 비밀 값은 가려집니다.";
    setting: "Key", "키";
    setting_value: "Value", "값";
    origin: "Origin", "출처";
    top_level: "Top level", "최상위";
}
