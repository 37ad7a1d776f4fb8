//! The gRPC door: its services with their layers, and how many connections the process can take.

use super::{GatewayError, Guard};
use crate::clock::Clock;
use crate::config;
use crate::grpc::Service;
use crate::grpc::admission::AdmissionLayer;
use crate::grpc::auth::AuthLayer;
use crate::grpc::door::Calls;
use crate::grpc::health::FewWatches;
use crate::grpc::observe::ObserveLayer;
use crate::grpc::only_grpc::only_grpc;
use crate::grpc::web::web;
use crate::metrics::Metrics;
use crate::pb;
use crate::pb::v1::cvm_gateway_service_server::CvmGatewayServiceServer;
use rustix::process::{Resource, getrlimit};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tower::Layer;

/// Descriptors that are left for the journal, the cloud, the side door and files.
const OTHER_DESCRIPTORS: usize = 256;

/// The largest question about health, which everybody may ask: it names a service.
const HEALTH_BYTES_MAX: usize = 1 << 10;
/// The largest question of reflection: it names a file, a symbol or a type. Neither has admission before it.
const REFLECTION_BYTES_MAX: usize = 4 << 10;

/// What answers calls, and what says how healthy it is. With `access_log` each call has a line in the log.
pub(super) fn calls(
    service: Service,
    (gate, pressure): Guard,
    (settings, access_log): (&config::Grpc, bool),
    clock: &Clock,
    metrics: &Metrics,
) -> Result<(HealthReporter, Calls), GatewayError> {
    let descriptors: [&[u8]; 4] = [
        pb::DESCRIPTOR,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let observe = ObserveLayer::new(
        metrics.grpc.clone(),
        clock.clone(),
        settings.request_timeout,
        access_log,
        &descriptors,
    );
    let observe = observe.map_err(|source| GatewayError::Descriptor(source.into()))?;
    let message_bytes_max = usize::try_from(settings.message_bytes_max).unwrap_or(usize::MAX);
    let service =
        CvmGatewayServiceServer::new(service).max_decoding_message_size(message_bytes_max);
    let (reporter, health) = tonic_health::server::health_reporter();
    let health = health.max_decoding_message_size(HEALTH_BYTES_MAX);
    let routes = Routes::new(service).add_service(FewWatches(health));
    let routes = match settings.reflection {
        true => reflected(routes)?,
        false => routes,
    };
    let auth = AuthLayer::new(gate);
    let admission = AdmissionLayer::new(
        &settings.admission,
        message_bytes_max,
        clock.clone(),
        metrics.admission.clone(),
        pressure,
    );
    let admitted = admission.layer(routes.prepare());
    let calls = observe.layer(only_grpc(auth.layer(admitted)));
    Ok((reporter, web(settings.web.as_ref(), calls)))
}

fn reflected(routes: Routes) -> Result<Routes, GatewayError> {
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, which no message of ours names: tools ask for them by name.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |source: tonic_reflection::server::Error| GatewayError::Descriptor(source.into());
    let v1 = described().build_v1().map_err(failed)?;
    // Clients older than 2024 know only this name of the same service.
    let v1alpha = described().build_v1alpha().map_err(failed)?;
    let v1 = v1.max_decoding_message_size(REFLECTION_BYTES_MAX);
    let v1alpha = v1alpha.max_decoding_message_size(REFLECTION_BYTES_MAX);
    Ok(routes.add_service(v1).add_service(v1alpha))
}

/// As many of `wanted` connections as the process has descriptors for, beside what else it opens: without
/// one for the journal or the cloud, launches would fail that were accepted.
pub(super) fn affordable(wanted: usize) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current;
    let descriptors = descriptors.and_then(|limit| usize::try_from(limit).ok());
    let most = descriptors.map_or(usize::MAX, left_for_connections);
    if most < wanted {
        tracing::warn!(
            most,
            "grpc.connections_max is {wanted}, but there are not descriptors for so many; raise LimitNOFILE or ulimit -n"
        );
    }
    wanted.min(most)
}

/// Of `descriptors`; at least half of very few.
fn left_for_connections(descriptors: usize) -> usize {
    let other = OTHER_DESCRIPTORS.min(descriptors / 2);
    descriptors.saturating_sub(other).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        for (descriptors, connections) in [(1024, 768), (512, 256), (64, 32), (1, 1), (0, 1)] {
            assert_eq!(left_for_connections(descriptors), connections);
        }
        assert_eq!(affordable(1), 1);
    }
}
