//! Each rule of the policy, in a few lines and without a socket.

#[path = "policy/asking.rs"]
mod asking;
#[path = "policy/desk.rs"]
mod desk;
#[path = "policy/expecting.rs"]
mod expecting;
#[path = "policy/learning.rs"]
mod learning;
#[path = "policy/leaving.rs"]
mod leaving;
#[path = "policy/placing.rs"]
mod placing;
#[path = "policy/repeating.rs"]
mod repeating;
#[path = "policy/whole.rs"]
mod whole;
#[path = "policy/window.rs"]
mod window;
