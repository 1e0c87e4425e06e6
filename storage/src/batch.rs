//! temporary
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub struct RequestId(pub u32);
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub struct ResponseId(pub u32);
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub struct ConnectionId(pub u32);
