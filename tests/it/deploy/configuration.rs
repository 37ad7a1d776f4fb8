//! The configurations below deploy/ are sound, as `config check` judges them where they are to be.

use super::read;
use crate::world::{Folder, put_secret};
use std::path::Path;
use std::process::Command;

/// A key pair of the simulator's own catalogue, as an environment has it.
pub(super) const KEY: [(&str, &str); 2] = [
    (
        "TENCENTCLOUD_SECRET_ID",
        "AKIDfakeForLoopbackTestsOnly0000001",
    ),
    (
        "TENCENTCLOUD_SECRET_KEY",
        "fakeSecretKeyLoopbackTestsOnly001",
    ),
];

/// What `config check` says about a configuration whose paths begin with `mounted` there, and are in
/// `folder` here.
pub(super) fn check(
    text: &str,
    mounted: &str,
    folder: &Path,
    environment: &[(&str, &str)],
) -> String {
    let file = folder.join("checked.toml");
    std::fs::write(&file, text.replace(mounted, folder.to_str().unwrap())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    let command = command.args(["config", "check", "--config"]).arg(file);
    super::said(command.envs(environment.iter().copied()))
}

#[test]
fn what_the_unit_of_systemd_reads_is_sound() {
    let folder = Folder::new();
    put_secret(
        &folder.0.join("cloud-key"),
        "not-a-real-key-not-a-real-key-00",
    );
    let text = read("deploy/systemd/cvm-gateway.toml");
    let mounted = "/run/credentials/cvm-gateway.service";
    let said = check(&text, mounted, &folder.0, &[]);
    assert!(
        said.contains("sqlite:///var/lib/cvm-gateway/journal.db"),
        "{said}"
    );
    let unit = read("deploy/systemd/cvm-gateway.service");
    for shown in [
        "LoadCredential=cloud-key:",
        "StateDirectory=cvm-gateway\n",
        "RuntimeDirectory=cvm-gateway\n",
    ] {
        assert!(unit.contains(shown), "the unit has no {shown}");
    }
}
