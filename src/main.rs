//! The program: hands its arguments to the command line.

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// glibc's gives nothing back of what a busy hour took: each of its pages has something that stays on it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    cvm_gateway::cli::main().into()
}
