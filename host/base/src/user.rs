//! The user of this process.

use std::{env, fs};

/// The name of the user: `USER` or `LOGNAME`, otherwise the account of this process, otherwise its number.
pub fn name() -> String {
    let named =
        ["USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok().filter(|it| !it.is_empty()));
    named.unwrap_or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        account(&accounts, uid).unwrap_or_else(|| format!("uid {uid}"))
    })
}

/// The account with this number in the form of `/etc/passwd`.
fn account(accounts: &str, uid: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0::/root:/bin/sh\n\nbroken\nkim:x:1000:1000:Kim:/home/kim:/bin/sh\n";
        assert_eq!(
            (account(accounts, 1000).as_deref(), account(accounts, 0).as_deref()),
            (Some("kim"), Some("root"))
        );
        assert_eq!(account(accounts, 7), None);
    }
}
