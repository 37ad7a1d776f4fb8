//! Compiles `proto/` with a protobuf compiler written in Rust, so that building needs no `protoc`.

use std::path::PathBuf;

/// Their generated `Debug` would print secrets: `src/pb.rs` writes it by hand.
const MESSAGES_WITH_SECRETS: [&str; 3] = [
    ".cvmgateway.v1.InstanceSpec",
    ".cvmgateway.v1.LoginSettings",
    ".cvmgateway.v1.MetadataItem",
];

/// The package of the options in which rules are written.
const RULES: &str = "buf.validate";

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is how cargo talks to a build script"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // For reflection, and for tests: comments are two thirds of it, which no gateway needs in memory. The raw bytes
    // keep options that prost's own types would drop.
    let (plain, commented) = (compiled(false)?, compiled(true)?);
    for (name, files) in [("descriptor.bin", &plain), ("commented.bin", &commented)] {
        std::fs::write(out.join(name), files.encode_file_descriptor_set())?;
    }
    let mut files = commented.file_descriptor_set();
    // Rules are for callers: the gateway judges by code of its own.
    files.file.retain(|file| file.package() != RULES);
    tonic_prost_build::configure()
        .codec_path("crate::pb::codec::SmallCodec")
        .build_server(std::env::var_os("CARGO_FEATURE_SERVER").is_some())
        .skip_debug(MESSAGES_WITH_SECRETS)
        .compile_fds(files)?;
    Ok(())
}

/// All files, with their comments or without.
fn compiled(comments: bool) -> Result<protox::Compiler, protox::Error> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(comments);
    compiler.open_files(["cvmgateway/v1/cvm_gateway_service.proto"])?;
    Ok(compiler)
}
