//! File system calls away from the one thread that serves.

use std::io;

/// Runs `work` on the pool. It is not interrupted when the caller is dropped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // A release build aborts at a panic; a development build goes on with it here.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// As `blocking`, for work whose `?` needs the error's type to be known.
pub async fn blocking_io<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    blocking(work).await
}
