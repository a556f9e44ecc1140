//! The machine finds what is wrong on purpose, and nothing else; what it proves of the library is
//! another command.

use std::process::Command;

#[test]
fn a_transaction_passes_and_its_wrong_orders_are_caught() {
    let toys = ["full-too-early", "empty-too-early", "recovery-in-haste", "for-nothing"];
    let names = toys.map(|toy| format!("toy-{toy}"));
    let output = Command::new(env!("CARGO_BIN_EXE_sweep"))
        .args(["--full", "toy"])
        .args(&names)
        .output()
        .expect("the machine starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    if let Some(why) = text.strip_prefix("skipped: ") {
        println!("skipped: {why}");
        return;
    }
    assert!(text.contains("instructions (100 %)"), "{text}");
    assert_eq!(text.matches("    caught, ").count(), toys.len(), "{text}");
}
