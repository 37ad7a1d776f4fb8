//! The unit of systemd is one, and lets the gateway do little.

use super::{read, said};
use crate::world::Folder;
use std::process::Command;

/// What `systemd-analyze security` may come to, of 100.
const EXPOSURE_MAX: &str = "--threshold=12";

#[test]
fn systemd_finds_no_fault_and_little_exposure() {
    let folder = Folder::new();
    let unit = folder.0.join("cvm-gateway.service");
    let text = read("deploy/systemd/cvm-gateway.service");
    let here = text.replace("/usr/bin/cvm-gateway", env!("CARGO_BIN_EXE_cvm-gateway"));
    assert_ne!(here, text, "the unit starts something else");
    std::fs::write(&unit, here).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let found = said(verify.args(["verify", "--man=no"]).arg(&unit));
    assert_eq!(found, "");
    let mut security = Command::new("systemd-analyze");
    let security = security.args(["security", "--offline=true", "--no-pager", EXPOSURE_MAX]);
    let rated = said(security.arg(&unit));
    assert!(rated.contains("Overall exposure level"), "{rated}");
}
