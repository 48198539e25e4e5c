//! The console's style sheet, script and icon. Their paths contain a digest, so browsers may cache them for ever.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderName, header};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::Console;

const STYLE: &str = include_str!("../templates/console/console.css");
const SCRIPT: &str = include_str!("../templates/console/console.js");
const ICON: &str = include_str!("../templates/console/icon.svg");

/// The paths of the assets.
pub static PATHS: LazyLock<Paths> = LazyLock::new(|| Paths {
    style: path("console", STYLE, "css"),
    script: path("console", SCRIPT, "js"),
    icon: path("icon", ICON, "svg"),
});

/// The paths of the assets.
pub struct Paths {
    pub style: String,
    pub script: String,
    pub icon: String,
}

fn path(name: &str, content: &str, extension: &str) -> String {
    let digest = hex::encode(&Sha256::digest(content)[..6]);
    format!("/assets/{name}-{digest}.{extension}")
}

/// Serves the assets, without authentication.
pub fn router() -> Router<Console> {
    let file = |media: &'static str, content: &'static str| {
        get(move || async move {
            let headers: [(HeaderName, &str); 3] = [
                (header::CONTENT_TYPE, media),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, content)
        })
    };
    Router::new()
        .route(&PATHS.style, file("text/css; charset=utf-8", STYLE))
        .route(&PATHS.script, file("text/javascript; charset=utf-8", SCRIPT))
        .route(&PATHS.icon, file("image/svg+xml", ICON))
}
