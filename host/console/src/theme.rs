//! The theme: that of the system, or one that was chosen.

use axum::http::HeaderMap;
use axum_extra::extract::cookie::CookieJar;

/// The cookie with the chosen theme.
pub const COOKIE: &str = "host-theme";

/// A theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// That of the system.
    Auto,
    Light,
    Dark,
}

impl Theme {
    /// The theme with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Auto, Self::Light, Self::Dark].into_iter().find(|theme| theme.as_str() == name)
    }

    /// The chosen theme.
    pub fn of(headers: &HeaderMap) -> Self {
        let jar = CookieJar::from_headers(headers);
        jar.get(COOKIE).and_then(|cookie| Self::parse(cookie.value())).unwrap_or(Self::Auto)
    }

    /// The name, also in the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme that the switch leads to.
    pub fn next(self) -> Self {
        match self {
            Self::Auto => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_reaches_every_theme() {
        let one = Theme::Auto.next();
        assert_eq!([one, one.next(), one.next().next()], [Theme::Dark, Theme::Light, Theme::Auto]);
        assert_eq!(Theme::parse("dark"), Some(Theme::Dark));
        assert_eq!(Theme::parse("\"><script>"), None);
    }
}
