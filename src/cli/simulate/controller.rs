//! A virtual torque controller that speaks Open Protocol.

use super::Arguments;
use crate::model::plan::OpenProtocolLink;
use crate::profile::Profile;
use std::time::Duration;

pub(super) async fn simulate(
    _arguments: &Arguments,
    _profile: Profile,
    _link: OpenProtocolLink,
    _every: Option<Duration>,
) -> Result<(), String> {
    Err("wip".to_owned())
}
