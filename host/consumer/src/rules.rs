//! Rules that override the retry policy for some failure codes.

use sandbox::cause::MAX_CODE;
use settings::{Action, RuleSettings};

use crate::policy::{MAX_BLOCKING_TRIES, MAX_RETRIES, Retry};

/// The action and the retries for a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    /// The action.
    pub action: Action,
    /// The number of deliveries after the first one; 0 unless the action is a retry.
    pub retries: u32,
    /// The number of blocking tries; 0 unless the action is a retry.
    pub blocking_tries: u32,
}

/// Rules, in the order in which they are checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules(Vec<RuleSettings>);

impl Rules {
    /// Checks rules against a policy.
    ///
    /// # Errors
    /// A rule is invalid, or has no effect.
    pub fn new(rules: Vec<RuleSettings>, retry: &Retry) -> Result<Self, String> {
        for (index, rule) in rules.iter().enumerate() {
            check(rule, retry).map_err(|what| format!("the rule for code {:?} {what}", rule.code))?;
            let before = rules.iter().take(index).find(|before| matches(&before.code, &rule.code));
            if let Some(before) = before {
                return Err(format!(
                    "the rule for code {:?} has no effect: the rule for {:?} precedes it and matches all of \
                     its failures",
                    rule.code, before.code
                ));
            }
        }
        Ok(Self(rules))
    }

    /// The rules as they were configured.
    pub fn settings(&self) -> &[RuleSettings] {
        &self.0
    }

    /// The action and the retries for a failure. A message that the plugin `rejected` is not retried unless a
    /// rule has the action retry.
    pub fn ruling(&self, code: &str, rejected: bool, retry: &Retry) -> Ruling {
        let rule = self.rule(code);
        let default = if rejected { Action::Reject } else { Action::Retry };
        match rule.and_then(|rule| rule.action).unwrap_or(default) {
            action @ Action::Retry => Ruling {
                action,
                retries: rule.and_then(|rule| rule.retries).unwrap_or(retry.retries),
                blocking_tries: rule.map_or(retry.blocking_tries, |rule| blocking_tries(rule, retry)),
            },
            action => Ruling { action, retries: 0, blocking_tries: 0 },
        }
    }

    /// The first rule that matches a code, or the general code that it had in earlier versions.
    fn rule(&self, code: &str) -> Option<&RuleSettings> {
        let is_named = self.0.iter().any(|rule| rule.code == code);
        let general = general(code).filter(|_| !is_named);
        self.0.iter().find(|rule| {
            matches(&rule.code, code) || general.is_some_and(|general| matches(&rule.code, general))
        })
    }

    /// The maximum number of retries of any failure.
    pub fn max_retries(&self, retry: &Retry) -> u32 {
        self.0.iter().filter_map(|rule| rule.retries).fold(retry.retries, u32::max)
    }

    /// Whether any failure has blocking tries.
    pub fn have_blocking_tries(&self, retry: &Retry) -> bool {
        retry.blocking_tries > 0 || self.0.iter().any(|rule| blocking_tries(rule, retry) > 0)
    }
}

/// A rule with no retries makes the message a dead letter at once, without the policy's blocking tries.
fn blocking_tries(rule: &RuleSettings, retry: &Retry) -> u32 {
    let others = if rule.retries == Some(0) { 0 } else { retry.blocking_tries };
    rule.blocking_tries.unwrap_or(others)
}

fn check(rule: &RuleSettings, retry: &Retry) -> Result<(), String> {
    let RuleSettings { code, retries, action, blocking_tries: blocking } = rule;
    if code.is_empty() || code.len() > MAX_CODE {
        return Err(format!("has no effect: a code has 1 to {MAX_CODE} bytes"));
    }
    if retries.is_none() && action.is_none() && blocking.is_none() {
        return Err("has no effect: set retries, action or blocking-tries".to_owned());
    }
    match action {
        Some(action @ (Action::Reject | Action::Discard)) if retries.is_some() || blocking.is_some() => {
            let action = action.as_str();
            return Err(format!("has retries or blocking-tries, but its action is \"{action}\""));
        }
        Some(Action::Retry) if retries.unwrap_or(retry.retries) == 0 && blocking_tries(rule, retry) == 0 => {
            return Err("has action \"retry\", but neither retries nor blocking-tries".to_owned());
        }
        _ => {}
    }
    if let Some(retries) = retries.filter(|retries| *retries > MAX_RETRIES) {
        return Err(format!("has {retries} retries; the maximum is {MAX_RETRIES}"));
    }
    if let Some(tries) = blocking.filter(|tries| *tries > MAX_BLOCKING_TRIES) {
        return Err(format!("has {tries} blocking tries; the maximum is {MAX_BLOCKING_TRIES}"));
    }
    Ok(())
}

/// The general code of the reply of a mail server: `smtp-permanent` for `smtp-550`. Rules for it stay in effect, although
/// the e-mail plugin names the reply.
fn general(code: &str) -> Option<&'static str> {
    let reply = code.strip_prefix("smtp-").filter(|reply| reply.len() == 3)?;
    if !reply.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match reply.as_bytes()[0] {
        b'4' => Some("smtp-transient"),
        b'5' => Some("smtp-permanent"),
        _ => None,
    }
}

/// Whether a pattern matches a text; `*` matches any number of characters. With another pattern as the text, the
/// result is whether the first pattern covers the other one, because only `*` matches `*`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RETRY: Retry = Retry {
        retries: 5,
        delay_ms: 1000,
        multiplier: 2.0,
        max_delay_ms: 3_600_000,
        jitter: 0.0,
        max_age_ms: 86_400_000,
        blocking_tries: 0,
        blocking_delay_ms: 100,
    };

    fn rule(code: &str) -> RuleSettings {
        RuleSettings { code: code.to_owned(), ..RuleSettings::default() }
    }

    fn acts(code: &str, action: Action) -> RuleSettings {
        RuleSettings { action: Some(action), ..rule(code) }
    }

    fn retries(code: &str, retries: u32) -> RuleSettings {
        RuleSettings { retries: Some(retries), ..rule(code) }
    }

    fn refused(rules: Vec<RuleSettings>) -> String {
        Rules::new(rules, &RETRY).expect_err("refused")
    }

    #[test]
    fn the_first_matching_rule_applies() {
        let rules =
            vec![retries("smtp-4*", 10), acts("smtp-*", Action::Reject), acts("spam", Action::Discard)];
        let rules = Rules::new(rules, &RETRY).expect("rules");
        let ruling = |code| rules.ruling(code, false, &RETRY);
        assert_eq!((ruling("smtp-421").action, ruling("smtp-421").retries), (Action::Retry, 10));
        assert_eq!((ruling("smtp-550").action, ruling("smtp-550").retries), (Action::Reject, 0));
        assert_eq!(ruling("spam").action, Action::Discard);
        assert_eq!((ruling("timeout").action, ruling("timeout").retries), (Action::Retry, 5));
        assert_eq!(rules.max_retries(&RETRY), 10);
    }

    #[test]
    fn rules_for_the_general_codes_of_mail_servers_stay_in_effect() {
        let action = |rules: &[(&str, Action)], code: &str| {
            let rules = rules.iter().map(|(code, action)| acts(code, *action)).collect();
            Rules::new(rules, &RETRY).expect("rules").ruling(code, true, &RETRY).action
        };
        let permanent = [("smtp-permanent", Action::Discard), ("smtp-*", Action::Retry)];
        assert_eq!(action(&permanent, "smtp-550"), Action::Discard, "as before the code named the reply");
        assert_eq!(action(&permanent, "smtp-421"), Action::Retry);
        assert_eq!(action(&[("smtp-transient", Action::Discard)], "smtp-451"), Action::Discard);
        assert_eq!(action(&[("*-permanent", Action::Discard)], "smtp-550"), Action::Discard);
        let named = [("smtp-permanent", Action::Discard), ("smtp-550", Action::Retry)];
        assert_eq!(action(&named, "smtp-550"), Action::Retry, "a rule for the reply itself is meant");
        assert_eq!(action(&named, "smtp-554"), Action::Discard);
        for code in ["smtp-5500", "smtp-2xx", "smtp-", "http-550", "smtp-250"] {
            assert_eq!(general(code), None, "{code}");
        }
    }

    #[test]
    fn rejected_messages_are_retried_only_by_a_rule() {
        let rules =
            Rules::new(vec![acts("quota", Action::Retry), retries("gone", 3)], &RETRY).expect("rules");
        assert_eq!(rules.ruling("quota", true, &RETRY).action, Action::Retry);
        assert_eq!(rules.ruling("quota", true, &RETRY).retries, 5);
        assert_eq!(rules.ruling("gone", true, &RETRY).action, Action::Reject);
        assert_eq!(rules.ruling("other", true, &RETRY).action, Action::Reject);
    }

    #[test]
    fn a_rule_can_override_the_blocking_tries() {
        let policy = Retry { blocking_tries: 2, ..RETRY };
        let own = |code: &str, tries| RuleSettings { blocking_tries: Some(tries), ..rule(code) };
        let rules = vec![own("db", 5), own("slow", 0), retries("bad", 0), acts("spam", Action::Reject)];
        let rules = Rules::new(rules, &policy).expect("rules");
        let tries = |code| rules.ruling(code, false, &policy).blocking_tries;
        assert_eq!(["db", "slow", "bad", "spam", "other"].map(tries), [5, 0, 0, 0, 2]);
        assert_eq!(rules.ruling("other", true, &policy).blocking_tries, 0);
        assert!(rules.have_blocking_tries(&policy) && rules.have_blocking_tries(&RETRY));
        assert!(!Rules::default().have_blocking_tries(&RETRY));
    }

    #[test]
    fn rules_without_effect_are_refused() {
        assert!(refused(vec![rule("a")]).contains("the rule for code \"a\" has no effect"));
        assert!(refused(vec![retries("", 1)]).contains("1 to 64"));
        assert!(refused(vec![retries(&"x".repeat(65), 1)]).contains("1 to 64"));
        assert!(refused(vec![retries("a", 1001)]).contains("1001 retries"));
        let tries = RuleSettings { blocking_tries: Some(11), ..rule("a") };
        assert!(refused(vec![tries]).contains("11 blocking tries"));
        let both = RuleSettings { retries: Some(1), ..acts("a", Action::Discard) };
        assert!(refused(vec![both]).contains("its action is \"discard\""));
        let none = RuleSettings { retries: Some(0), ..acts("a", Action::Retry) };
        assert!(refused(vec![none]).contains("neither retries nor blocking-tries"));
    }

    #[test]
    fn a_rule_that_is_shadowed_is_refused() {
        for (first, second) in
            [("smtp-*", "smtp-550"), ("*", "a*"), ("a", "a"), ("*a*", "b*a"), ("a*", "a**")]
        {
            let error = refused(vec![retries(first, 1), retries(second, 2)]);
            assert!(error.contains(&format!("{second:?} has no effect: the rule for {first:?}")), "{error}");
        }
        for (first, second) in [("smtp-550", "smtp-*"), ("a*b", "a*"), ("*a", "a*")] {
            assert!(
                Rules::new(vec![retries(first, 1), retries(second, 2)], &RETRY).is_ok(),
                "{first} {second}"
            );
        }
    }

    #[test]
    fn patterns_are_literal_except_for_the_star() {
        assert!(matches("smtp-*", "smtp-") && matches("*", "") && matches("a*b*c", "abbc"));
        assert!(matches("a.c", "a.c") && matches("*-timeout", "connect-timeout"));
        assert!(!matches("a.c", "abc") && !matches("smtp-*", "http-smtp-1") && !matches("a*a", "a"));
    }

    /// The definition of a match, without optimisation.
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| plain(rest, &text[skip..])),
            ([one, rest @ ..], [first, after @ ..]) => one == first && plain(rest, after),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn a_shadowed_pattern_matches_nothing_else(first in "[ab*]{1,6}", second in "[ab*]{1,6}", text in "[ab]{0,10}") {
            if matches(&first, &second) && matches(&second, &text) {
                prop_assert!(matches(&first, &text));
            }
        }
    }
}
