//! Refusals that WASI makes in silence, with a word of them in the log: looking up names, and
//! directories where there are none.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::{
    filesystem::WasiFilesystemView,
    p2::{
        DynPollable, SocketError,
        bindings::{
            filesystem::{preopens, types::Descriptor},
            sockets::{
                ip_name_lookup::{self, Host, HostResolveAddressStream, ResolveAddressStream},
                network::{self, ErrorCode, IpAddress, Network},
            },
        },
    },
    sockets::WasiSocketsView,
};

use crate::plugin::call::Call;

/// Puts these in the place of those that are linked already.
pub(super) fn shadow(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<Call, HasShadowed>(linker, |call| Shadowed(call))?;
    preopens::add_to_linker::<Call, HasShadowed>(linker, |call| Shadowed(call))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasShadowed;

impl HasData for HasShadowed {
    type Data<'a> = Shadowed<'a>;
}

/// A call that logs what WASI refuses.
struct Shadowed<'a>(&'a mut Call);

impl network::Host for Shadowed<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.0.sockets(), error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.0.sockets(), error)
    }
}

impl network::HostNetwork for Shadowed<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0.sockets(), network)
    }
}

impl Host for Shadowed<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        self.0.asked_for_name(&name);
        self.0.sockets().resolve_addresses(network, name)
    }
}

impl HostResolveAddressStream for Shadowed<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        self.0.sockets().resolve_next_address(stream)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        HostResolveAddressStream::subscribe(&mut self.0.sockets(), stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        HostResolveAddressStream::drop(&mut self.0.sockets(), stream)
    }
}

impl preopens::Host for Shadowed<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.0.asked_for_directories();
        preopens::Host::get_directories(&mut self.0.filesystem())
    }
}
