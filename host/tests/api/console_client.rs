//! A client of the console that keeps cookies and submits forms.

use std::cell::RefCell;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use desk_api::DeadLetter;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::fixture::{Answer, Api};

/// The token of the API and the console.
pub const TOKEN: &str = "0123456789abcdef0123";

/// A client with its cookies.
pub struct Browser<'a> {
    api: &'a Api,
    lang: &'static str,
    cookies: RefCell<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    pub fn new(api: &'a Api, lang: &'static str) -> Self {
        Self { api, lang, cookies: RefCell::default() }
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept-language", self.lang)
            .header("cookie", cookies.join("; "));
        if !more.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:8081");
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let answer = self.api.router.clone().oneshot(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
        for cookie in head.headers.get_all("set-cookie") {
            let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
        }
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Body::empty()).await
    }

    /// Gets a page that must exist.
    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask("POST", path, &form, body).await
    }

    /// Posts the form of a page to `to`: its hidden fields and these fields.
    pub async fn submit(&self, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
        let text = self.page(page).await;
        let mut all = hidden(&text);
        all.retain(|(name, _)| !fields.iter().any(|(known, _)| known == name));
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (&name[..], &value[..])).chain(fields.iter().copied()).collect();
        self.post(to, &all).await
    }
}

/// The hidden fields of the last form of a page.
pub fn hidden(page: &str) -> Vec<(String, String)> {
    let form = page.rsplit("<form").find(|form| form.contains("name=\"csrf\"")).unwrap_or_default();
    let inputs = form.split("<input type=\"hidden\" name=\"").skip(1);
    inputs
        .map(|input| {
            let (name, rest) = input.split_once("\" value=\"").expect("a value");
            let value = rest
                .split('"')
                .next()
                .expect("the end of the value")
                .replace("&#38;", "&")
                .replace("&amp;", "&");
            (name.to_owned(), value)
        })
        .collect()
}

/// The paths of all pages about a dead letter, and of the lists.
pub fn pages(dead_letter: &DeadLetter) -> Vec<String> {
    let (id, failure) = (&dead_letter.id, &dead_letter.failure);
    let mut pages: Vec<String> = [
        "/",
        "/failures",
        "/failures?all=1",
        "/dead-letters",
        "/dead-letters?state=any",
        "/replays",
        "/trials",
        "/audit-log",
        "/?range=day",
        "/plugins",
        "/topics",
        "/settings",
    ]
    .map(str::to_owned)
    .into();
    for path in [
        "/failures/{failure}",
        "/dead-letters/{id}",
        "/dead-letters/{id}/edit",
        "/replay?failure={failure}",
        "/discard?ids={id}",
        "/restore?ids={id}",
        "/try?failure={failure}",
        "/dead-letters?state=any&failure={failure}",
    ] {
        pages.push(path.replace("{id}", id).replace("{failure}", failure));
    }
    pages
}
