//! The texts of the pages about dead letters, replays and trials.

texts! {
    /// Texts of the desk.
    DeskTexts {}

    // Ids
    id: "ID", "ID";
    copy_id: "Copy the ID", "ID 복사";
    copied: "Copied", "복사됨";
    ambiguous_id: "Several entries have IDs that begin with these digits. Enter more digits.", "입력한 값으로 시작하는 ID가 여러 개입니다. 더 길게 입력하세요.";

    // Selection
    nothing_ticked: "Nothing was done: no dead letter is selected. Select dead letters in the list, or open “All that match”.", "선택한 데드 레터가 없어 아무 작업도 하지 않았습니다. 목록에서 선택하거나 ‘검색 결과 전체’를 여세요.";
    tick_page: "Select all on this page", "이 페이지 전체 선택";
    all_matching_detail: "Applies to every dead letter that matches the filter, on all pages. You confirm the number in the next step.", "모든 페이지에서 조건에 맞는 데드 레터 전체에 적용됩니다. 다음 단계에서 건수를 입력해 확인합니다.";
    all_matching: "All {} that match", "검색 결과 전체 {}건";
    type_number: "Enter the number of dead letters, {}, to confirm", "확인을 위해 건수 {} 입력";
    number_hint: "This applies to everything that matches the filter.", "조건에 맞는 데드 레터 전체에 적용됩니다.";
    wrong_number: "The number entered is not the number of dead letters. Nothing was changed. There are {} now.", "입력한 건수가 실제 건수와 달라 변경하지 않았습니다. 현재 건수는 {}건입니다.";
    required: "required", "필수";

    // Outcomes
    outcome: "Outcome", "결과";
    handled: "Handled", "처리됨";
    failed_again: "Failed again", "다시 실패";
    first_attempt_failed: "First attempt failed", "첫 시도 실패";
    first_attempt_failed_detail: "The message is being retried, or a retry handled it. If all retries fail, a new dead letter appears here.", "재시도 중이거나 재시도에서 처리되었습니다. 모든 재시도가 실패하면 새 데드 레터가 여기에 표시됩니다.";
    waits_for_outcome: "Sent, waiting", "결과 대기";
    waits_in_replay: "In a replay, not sent yet", "재처리 대기";
    new_dead_letter: "New dead letter", "새 데드 레터";
    failed_again_of: "Failed again after a replay of", "재처리 후 다시 실패한 데드 레터:";
    edited_state: "Edited", "수정됨";
    edited_as: "Replaced by the edited copy", "수정된 사본으로 대체됨:";
    replay_failed_again: "Every dead letter was sent. Some failed again: they are listed below.", "모든 데드 레터를 전송했지만 일부가 다시 실패했습니다. 아래 목록을 확인하세요.";
    done_with_failures: "Done, with failures", "완료(실패 있음)";
    items_shown: "Dead letters of this replay", "재처리한 데드 레터";
    stopped_detail: "The replay has stopped. Resume it, or cancel it: dead letters that were not sent stay open.", "재처리가 중단되었습니다. 재개하거나 취소하세요. 전송하지 않은 데드 레터는 미처리 상태로 남습니다.";
    active_replays: "Replays in progress", "진행 중인 재처리";

    // Failures
    latest_detail: "Latest detail", "최근 오류 내용";
    various_details: "Various details", "오류 내용이 다양함";

    // Trials
    undecided: "Would send; the destination decides", "발송 예정(수신 서버가 결정)";
    undecided_detail: "A trial sends nothing, so a mail server or an HTTP server may still refuse what these dead letters would send.", "시험에서는 실제로 발송하지 않으므로, 메일 서버나 HTTP 서버가 거부할 수 있습니다.";
    replay_not_failed: "Replay what did not fail", "실패하지 않은 건 재처리";

    // Editing
    edit_and_replay_detail: "The edited copy is a new message with its own ID. It takes the place of the original, which is closed.", "수정된 사본은 고유 ID를 가진 새 메시지입니다. 원본은 사본으로 대체되어 종료됩니다.";
    review: "Review changes", "변경 내용 확인";
    save_and_send: "Save the copy and replay it", "사본을 저장하고 재처리";
    changed_fields: "Changed fields", "변경된 필드";
    field: "Field", "필드";
    before: "Before", "변경 전";
    after: "After", "변경 후";
    field_absent: "(absent)", "(없음)";
    whole_value: "(whole value)", "(값 전체)";
    not_json: "The original is JSON, but this is not:", "원본은 JSON이지만 입력한 값은 올바른 JSON이 아닙니다:";

    // Audit log
    subject: "Subject", "대상";
    since: "since", "시작:";
    until: "until", "끝:";
    all_of_desk: "all dead letters", "전체 데드 레터";
}
