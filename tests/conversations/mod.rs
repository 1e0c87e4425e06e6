//! Named conversations and the exact rows they give: whatever is promised of one case has its line here.

mod flags;
mod http;
mod pairs;
mod table;
mod talk;
mod tcp;
mod tunnels;
mod ways;
mod witnesses;
