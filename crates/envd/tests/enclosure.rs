//! Where the agent of all these tests runs.

mod support;

use support::Envd;

#[test]
fn runs_in_the_base_image_where_that_is_asked_for() {
    let is_asked_for = std::env::var_os("ENVD_TEST_ROOT").is_some();
    // Set by `./wrenn test`, which always asks for it.
    assert!(is_asked_for || std::env::var_os("WRENN_TEST_SEED").is_none());
    let envd = Envd::boot();
    let is_guest = envd.run("test -x /usr/local/lib/wrenn/wrenn-init");
    assert_eq!(is_guest.exit_code() == 0, is_asked_for);
    let sees_the_checkout = envd.run(&format!("test -e {}", env!("CARGO_MANIFEST_DIR")));
    assert!(!is_asked_for || sees_the_checkout.exit_code() != 0);
}

#[test]
fn the_binary_is_small() {
    if std::env::var_os("ENVD_TEST_ROOT").is_none() {
        return; // the released one is in the image
    }
    let size = Envd::boot().run("stat -c %s /usr/local/lib/wrenn/envd");
    assert!(size.out().trim().parse::<u64>().expect("a size") < 5_000_000);
}
