//! The functions of `wasi:http`, those of wasmtime but one.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, RequestOptions};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView};

use crate::call::Call;

/// Components with any version 0.2 find it.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.0";

type Arguments = (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>);
type Answer = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;

/// Adds `wasi:http/types` and `wasi:http/outgoing-handler`.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, WasiHttp>(linker, &types::LinkOptions::default(), WasiHttpView::http)?;
    let handle = |mut call: StoreContextMut<'_, Call>, arguments: Arguments| {
        Ok((handle(call.data_mut().http(), arguments)?,))
    };
    linker.instance(OUTGOING_HANDLER)?.func_wrap("handle", handle)
}

/// Starts a request. The function of wasmtime (48.0) takes the options and keeps them in the table of the instance, which
/// then is not as new after a call, and is full after a thousand requests.
fn handle(mut view: WasiHttpCtxView<'_>, (request, options): Arguments) -> wasmtime::Result<Answer> {
    let taken = options.as_ref().map(|options| Resource::<RequestOptions>::new_own(options.rep()));
    let started = view.handle(request, options);
    if let Some(options) = taken {
        view.table.delete(options)?;
    }
    match started {
        Ok(response) => Ok(Ok(response)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}
