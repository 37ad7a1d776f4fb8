//! The process itself: its memory, its handles, its processor time.

use super::Inconsistent;
use prometheus::Registry;

#[cfg(target_os = "linux")]
pub(super) fn register(registry: &Registry) -> Result<(), Inconsistent> {
    use prometheus::process_collector::ProcessCollector;
    registry.register(Box::new(ProcessCollector::for_self()))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn register(_registry: &Registry) -> Result<(), Inconsistent> {
    Ok(())
}
