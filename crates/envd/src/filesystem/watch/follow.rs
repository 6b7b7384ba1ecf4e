//! The task that handles events as the kernel reports them.

use std::rc::Rc;

use super::Watches;

/// Runs as long as the agent.
pub async fn follow(watches: Rc<Watches>) {
    while let Some(kernel) = watches.kernel.get() {
        match kernel.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(error) => {
                eprintln!("envd: Cannot wait for file system events: {error}");
                return;
            }
        }
        while watches.catch_up() {
            tokio::task::yield_now().await;
        }
    }
}
