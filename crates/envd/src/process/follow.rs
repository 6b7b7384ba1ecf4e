//! The stream of events of one life.

use std::rc::Rc;
use std::time::Duration;

use super::follower::Follower;
use super::handle::Life;
use super::messages::{data_frames, end_frame, keepalive_frame, start_frame};
use crate::connect::stream::Messages;
use crate::connect::{Code, Error};

/// Sends `start`, the output, and `end`. With `lifetime` the stream also tells of the process's limit.
pub async fn follow(
    life: Rc<Life>,
    follower: Follower,
    lifetime: bool,
    keepalive: Duration,
    messages: &mut Messages,
) -> Result<(), Error> {
    messages.send_frame(start_frame(life.pid)).await;
    loop {
        let changed = follower.changed();
        if lifetime && life.expired.get() {
            return Err(Error::deadline());
        }
        if let Some(frames) = data_frames(&follower) {
            messages.send_frame(frames).await;
            continue;
        }
        if follower.is_cut() {
            return Err(Error::new(
                Code::ResourceExhausted,
                "the stream was read too slowly; connect again with an offset",
            ));
        }
        let end = life.end.borrow().clone();
        if let Some(end) = end {
            messages.send_frame(end_frame(&end)).await;
            return Ok(());
        }
        if tokio::time::timeout(keepalive, changed).await.is_err() {
            messages.send_frame(keepalive_frame()).await;
        }
    }
}
