//! A client of a running host's HTTP API.

use std::env;
use std::error::Error as _;
use std::time::Duration;

use base::error::UserError;
use clap::Subcommand;
use desk_api::{BASE_PATH, JSON_LINES, MAX_PAGE, MAX_USER_CHARS, Page, USER_HEADER, is_id_prefix};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, Url};
use sandbox::tls;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::output::{Format, OutputArgs, escaped, note};

/// The environment variable with the token.
const TOKEN: &str = "HOST_TOKEN";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout between two reads. Starting a large replay takes a while.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// The host to connect to.
#[derive(Debug, clap::Args)]
pub struct ApiArgs {
    /// URL of the host; set HOST_TOKEN if it requires a token
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081",
        env = "HOST_API"
    )]
    api: String,
}

/// Arguments of a group of commands that ask a running host.
#[derive(Debug, clap::Args)]
pub struct HostArgs<C: Subcommand> {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: C,
}

impl<C: Subcommand> HostArgs<C> {
    /// A client of the host, and the command.
    ///
    /// # Errors
    /// The arguments or the environment are wrong.
    pub fn connect(self) -> Result<(Client, C), UserError> {
        Ok((Client::new(&self.api)?, self.command))
    }
}

/// The argument for the length of a list.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ListArgs {
    /// Maximum number of entries
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// A client of a host's API.
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// An error of the API (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Client {
    /// Creates a client. It does not connect yet.
    pub fn new(args: &ApiArgs) -> Result<Self, UserError> {
        let base =
            Url::parse(&args.api).ok().filter(|url| url.has_host() && url.scheme().starts_with("http"));
        let base = base.ok_or_else(|| {
            UserError::usage(format!("--api {}: not a URL", escaped(&args.api)))
                .help("example: --api http://127.0.0.1:8081")
        })?;
        let failed =
            |error: &dyn std::error::Error| UserError::unavailable(format!("cannot set up HTTP: {error}"));
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::https(&[])?)
            // The token must not be sent to another host.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .default_headers(headers()?)
            .build();
        Ok(Self { http: http.map_err(|error| failed(&error))?, base })
    }

    /// `GET` of a path below the API's base path.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, UserError> {
        read(self.stream(path, query).await?).await
    }

    /// Prints the first items of a list as a table or as JSON, and says if there are none or more.
    pub async fn print_list<T: DeserializeOwned + Serialize>(
        &self,
        (path, query): (&str, &[(&str, String)]),
        ListArgs { limit, output }: ListArgs,
        none: &str,
        table: impl FnOnce(&[T]) -> String,
    ) -> Result<(), UserError> {
        let (items, has_more) = self.list(path, query, limit).await?;
        if items.is_empty() && output.format() == Format::Table {
            note(none);
            return Ok(());
        }
        output.print(&items, || table(&items))?;
        if has_more && output.format() == Format::Table {
            note("there are more; list them with --limit N");
        }
        Ok(())
    }

    /// The first items of a list, and whether there are more.
    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        limit: u32,
    ) -> Result<(Vec<T>, bool), UserError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let mut query = query.to_vec();
            query.push(("limit", (limit - items.len()).min(MAX_PAGE).to_string()));
            query.extend(after.map(|after: String| ("after", after)));
            let page: Page<T> = self.get(path, &query).await?;
            items.extend(page.items);
            after = page.next.map(|next| next.to_string());
            if after.is_none() || items.len() >= limit {
                return Ok((items, after.is_some()));
            }
        }
    }

    /// `POST` of a JSON body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, UserError> {
        self.send_json(Method::POST, path, body).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, UserError> {
        self.send_json(Method::PATCH, path, body).await
    }

    /// `POST` of bytes with this media type.
    pub async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        media_type: &'static str,
        bytes: Vec<u8>,
    ) -> Result<T, UserError> {
        let request = self.request(Method::POST, &with_query(path, query)).header(CONTENT_TYPE, media_type);
        read(self.send(request.body(bytes)).await?).await
    }

    /// `POST` of JSON Lines.
    pub async fn post_lines<T: DeserializeOwned>(&self, path: &str, body: Body) -> Result<T, UserError> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, JSON_LINES);
        read(self.send(request.body(body)).await?).await
    }

    /// `GET` of a response that the caller reads in parts.
    pub async fn stream(&self, path: &str, query: &[(&str, String)]) -> Result<Response, UserError> {
        self.send(self.request(Method::GET, &with_query(path, query))).await
    }

    async fn send_json<T: DeserializeOwned>(
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
        self.http.request(method, format!("{base}{BASE_PATH}{path}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, UserError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let path = response.url().path().strip_prefix(BASE_PATH).unwrap_or_default();
        let list = match path.split('/').nth(1) {
            Some("plugins") => "list plugins: host plugin list",
            Some("waiting") => "the host may be older than this command",
            _ => "list ids: host dlt list, host dlt failures, host dlt replays",
        };
        let problem: Option<Problem> =
            response.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok());
        let Some(Problem { detail }) = problem else { return Err(self.no_desk(status)) };
        let detail = escaped(&detail);
        Err(match status {
            StatusCode::UNAUTHORIZED => {
                UserError::usage(format!("{} refuses this client: {detail}", self.base))
                    .help(format!("set the value of desk.token: export {TOKEN}=…"))
            }
            StatusCode::NOT_FOUND => UserError::unavailable(detail).help(list),
            StatusCode::CONFLICT => UserError::unavailable(detail),
            status if status.is_client_error() => UserError::usage(detail),
            _ => UserError::unavailable(format!("the host at {} is unavailable: {detail}", self.base)),
        })
    }

    fn no_desk(&self, status: StatusCode) -> UserError {
        UserError::unavailable(format!("{} does not serve a desk: HTTP status {status}", self.base))
            .help("the host may run with --desk=false or without --store, or the address may be another service's")
            .help("use another address: --api URL, or HOST_API")
    }

    fn unreachable(&self, error: &reqwest::Error) -> UserError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        if error.is_timeout() && !error.is_connect() {
            let what =
                format!("the host at {} did not answer within {} s", self.base, READ_TIMEOUT.as_secs());
            return UserError::unavailable(what)
                .help("an action on many dead letters goes on by itself; see its progress: host dlt list");
        }
        let what = match error.is_timeout() {
            true => "does not answer: timeout".to_owned(),
            false => format!("does not answer: {cause}"),
        };
        UserError::unavailable(format!("the host at {} {what}", self.base))
            .help("start a host: host --plugin FILE")
            .help("or use another address: --api URL, or HOST_API")
    }
}

/// The token, and the user's name for the audit log.
fn headers() -> Result<HeaderMap, UserError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_| UserError::usage(format!("{TOKEN}: not a token")))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let user: String = base::user::name().chars().filter(|c| !c.is_control()).take(MAX_USER_CHARS).collect();
    if let Ok(user) = HeaderValue::from_bytes(user.as_bytes()) {
        headers.insert(USER_HEADER, user);
    }
    Ok(headers)
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query.iter().cloned()).finish();
    format!("{path}?{query}")
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, UserError> {
    let body = response.bytes().await.map_err(|error| incomplete(&error))?;
    serde_json::from_slice(&body)
        .map_err(|error| UserError::unavailable(format!("the host has an incompatible version: {error}")))
}

/// The error for a response that ends early.
pub fn incomplete(error: &reqwest::Error) -> UserError {
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    UserError::unavailable(format!("the host's response is incomplete: {cause}")).help("see the host's log")
}

/// Checks an id from the command line. `list` is the command that lists ids.
///
/// # Errors
/// It cannot be an id.
pub fn check_id<'a>(id: &'a str, list: &str) -> Result<&'a str, UserError> {
    if is_id_prefix(id) {
        return Ok(id);
    }
    Err(UserError::usage(format!("{} is not an id: 1 to 32 hexadecimal digits", escaped(id)))
        .help(format!("list ids: {list}")))
}
