//! The API of a running host, as a client.

use std::env;
use std::error::Error as _;
use std::time::Duration;

use base::error::UserError;
use base::text;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use server::api::BASE;
use url::form_urlencoded;

/// The environment variable of the token.
const TOKEN: &str = "HOST_TOKEN";
const CONNECT: Duration = Duration::from_secs(5);
/// How long the host may say nothing: a replay is made of many letters in one go.
const SILENCE: Duration = Duration::from_secs(120);

/// Which host.
#[derive(Debug, clap::Args)]
pub struct Reach {
    /// Where the host listens; a token, where it wants one, is taken from HOST_TOKEN
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081",
        env = "HOST_API"
    )]
    api: String,
}

/// A host's desk.
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// What a host says when it does not do what it was asked.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Client {
    /// Prepares to ask; nothing is sent yet.
    pub fn new(reach: &Reach) -> Result<Self, UserError> {
        let base =
            Url::parse(&reach.api).ok().filter(|url| url.has_host() && url.scheme().starts_with("http"));
        let base = base.ok_or_else(|| {
            UserError::usage(format!("--api {}: not a URL", text::line(reach.api.as_bytes())))
                .help("as in --api http://127.0.0.1:8081")
        })?;
        let mut headers = HeaderMap::new();
        if let Some(token) = env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| UserError::usage(format!("{TOKEN}: not a token")))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(user) = user() {
            headers.insert(server::api::HOST_USER, user);
        }
        let failed =
            |error: &dyn std::error::Error| UserError::unavailable(format!("cannot set up HTTP: {error}"));
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(
                sandbox::capabilities::http::client::tls().map_err(|error| failed(&error))?,
            )
            // A token must go nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .default_headers(headers)
            .build();
        Ok(Self { http: http.map_err(|error| failed(&error))?, base })
    }

    /// Asks for something below the API's base.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, UserError> {
        read(self.send(self.asking(path, query)).await?).await
    }

    /// Asks for something to be done.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, UserError> {
        self.say(Method::POST, path, body).await
    }

    /// Sends something that is not JSON.
    pub async fn send_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        media: &'static str,
        bytes: Vec<u8>,
    ) -> Result<T, UserError> {
        let request = self.request(Method::POST, &with(path, query)).header(CONTENT_TYPE, media);
        read(self.send(request.body(bytes)).await?).await
    }

    /// Asks for something to be changed.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, UserError> {
        self.say(Method::PATCH, path, body).await
    }

    /// An answer to be read piece by piece.
    pub async fn stream(&self, path: &str, query: &[(&str, String)]) -> Result<Response, UserError> {
        self.send(self.asking(path, query)).await
    }

    /// Sends JSON Lines.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, body: Body) -> Result<T, UserError> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, "application/jsonl");
        read(self.send(request.body(body)).await?).await
    }

    fn asking(&self, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        self.request(Method::GET, &with(path, query))
    }

    async fn say<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, UserError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| UserError::unavailable(format!("cannot write JSON: {error}")))?;
        let request = self.request(method, path).header(CONTENT_TYPE, "application/json");
        read(self.send(request.body(body)).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.base.as_str().trim_end_matches('/');
        self.http.request(method, format!("{base}{BASE}{path}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, UserError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Option<Problem> =
            response.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok());
        let Some(Problem { detail }) = problem else { return Err(self.no_desk(status)) };
        let detail = text::line(detail.as_bytes());
        Err(match status {
            StatusCode::UNAUTHORIZED => {
                UserError::usage(format!("{} does not let this client in: {detail}", self.base))
                    .help(format!("give it the token that desk.token has: export {TOKEN}=…"))
            }
            StatusCode::NOT_FOUND => {
                UserError::unavailable(detail).help("see what is there: host dlt list, groups or jobs")
            }
            StatusCode::CONFLICT => UserError::unavailable(detail),
            status if status.is_client_error() => UserError::usage(detail),
            _ => UserError::unavailable(format!("the host at {} cannot do that now: {detail}", self.base)),
        })
    }

    fn no_desk(&self, status: StatusCode) -> UserError {
        UserError::unavailable(format!("{} answers {status}: no desk is there", self.base))
            .help("the host may run with --desk=false, or something else may listen there")
            .help("name another: --api URL, or HOST_API")
    }

    fn unreachable(&self, error: &reqwest::Error) -> UserError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let what = if error.is_timeout() {
            "does not answer in time".to_owned()
        } else {
            format!("does not answer: {cause}")
        };
        UserError::unavailable(format!("the host at {} {what}", self.base))
            .help("is it running? `host --plugin FILE` starts one")
            .help("is it elsewhere? --api URL, or HOST_API")
    }
}

fn with(path: &str, query: &[(&str, String)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query.iter().cloned()).finish();
    format!("{path}?{query}")
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, UserError> {
    let body = response.bytes().await.map_err(|error| broke_off(&error))?;
    serde_json::from_slice(&body)
        .map_err(|error| UserError::unavailable(format!("the host's answer is of another version: {error}")))
}

/// An answer has ended before its end.
pub fn broke_off(error: &reqwest::Error) -> UserError {
    UserError::unavailable(format!(
        "the host's answer broke off: {}",
        error.source().map_or_else(|| error.to_string(), ToString::to_string)
    ))
    .help("the host's log says why")
}

/// Who does this, for the desk's record.
fn user() -> Option<HeaderValue> {
    let user = env::var("USER").ok()?;
    let user: String = user.chars().filter(|c| !c.is_control()).take(64).collect();
    HeaderValue::from_bytes(user.as_bytes()).ok()
}
