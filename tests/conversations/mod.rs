//! Named conversations and the exact rows they give: whatever is promised of one case has its line here.

mod flags;
mod http;
mod table;
mod talk;
mod tcp;
mod witnesses;
