//! `wasi:http` in one call: the state and the sending of its requests.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::HttpGrant;
use super::client::Answer;
use super::request::{Failed, denied};
use crate::call::{Call, Context};
use crate::call_end::{CallEnd, EndSignal};
use crate::limits::Exceeded;
use crate::output::Output;

/// The maximum size of a part of a request's body, in bytes.
const CHUNK: usize = 16 << 10;
/// The maximum number of concurrent requests of a call. Further ones wait.
const MAX_CONCURRENT: usize = 8;
/// The maximum size of a guest's set of headers, in bytes of the host's memory.
const MAX_FIELDS: usize = 32 << 10;

/// The state of `wasi:http` in one call.
#[derive(Clone)]
struct State {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    fn new(context: &Context) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(MAX_FIELDS);
        let (session, output) = (Session::new(context), context.output.clone());
        Self { ctx, hooks: Hooks { session, output, requests: 0 } }
    }
}

impl WasiHttpView for Call {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (State { ctx, hooks }, table) = self.state(State::new);
        WasiHttpCtxView { ctx, table, hooks }
    }
}

/// The hooks of `wasi:http`. Without a session every request is denied.
#[derive(Clone)]
struct Hooks {
    session: Option<Session>,
    output: Output,
    /// The number of requests of this call.
    requests: u32,
}

/// The state that the requests of one call share.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) grant: Arc<HttpGrant>,
    pub(super) context: Context,
    pub(super) used: Arc<Used>,
    end: Arc<EndSignal>,
}

/// The resources that the requests of one call have used.
pub(super) struct Used {
    /// Bytes of the bodies of requests.
    pub(super) sent: AtomicUsize,
    /// Bytes of responses.
    pub(super) received: AtomicUsize,
    pub(super) slots: Semaphore,
}

impl Session {
    /// None without a grant, and during `describe`.
    fn new(context: &Context) -> Option<Self> {
        context.outside.as_ref()?;
        let used = Used {
            sent: AtomicUsize::new(0),
            received: AtomicUsize::new(0),
            slots: Semaphore::new(MAX_CONCURRENT),
        };
        Some(Self {
            grant: context.grants.get()?,
            end: Arc::clone(context.end()?),
            context: context.clone(),
            used: Arc::new(used),
        })
    }

    /// Ends the call. The future never completes, so that the guest gets no response.
    async fn end(&self, reason: CallEnd) -> ! {
        self.end.send(reason);
        loop {
            std::future::pending::<()>().await;
        }
    }
}

impl WasiHttpHooks for Hooks {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Worker), Error>> + Send> {
        self.requests = self.requests.saturating_add(1);
        let (session, output, requests) = (self.session.clone(), self.output.clone(), self.requests);
        Box::new(async move {
            let Some(session) = session else {
                let (parts, mut body) = request.into_parts();
                while let Some(Ok(_)) = body.frame().await {}
                return Err(denied(&output, &parts.uri));
            };
            if requests > session.context.grants.limits.host_calls {
                session.end(CallEnd::Exceeded(Exceeded::HostCalls)).await
            }
            match session.send(request, options.unwrap_or_default()).await {
                Ok(answer) => Ok((response(answer), Box::new(async { Ok(()) }) as Worker)),
                Err(Failed::Answered(error)) => Err(error),
                Err(Failed::Ended(reason)) => session.end(reason).await,
            }
        })
    }
}

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;

fn response(answer: Answer) -> http::Response<WasiBody> {
    let body = Full::new(answer.body.unwrap_or_default()).map_err(|never| match never {}).boxed_unsync();
    let mut response = http::Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}
