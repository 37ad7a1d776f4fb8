//! How big models are, as cases, people and rows of the audit tell it offline.

use crate::domain::operation::Place;
use crate::domain::outlook::{Cost, Size};
use rust_decimal::Decimal;
use serde::Deserialize;

/// The size of a model; what is left out is none of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldSize {
    vcpu: u32,
    #[serde(default)]
    memory: u32,
    #[serde(default)]
    gpu: u32,
    price_per_hour: Option<String>,
    price_per_month: Option<String>,
}

/// The size of a model, as a row of the audit has it; later versions may tell more.
#[derive(Debug, Deserialize)]
pub(super) struct AuditedSize {
    zone: String,
    instance_type: String,
    vcpu: u32,
    memory: u32,
    gpu: u32,
    price_per_hour: Option<String>,
    price_per_month: Option<String>,
}

impl ToldSize {
    /// From JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let told: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        told.size().map(|_sound| told)
    }

    /// The size.
    ///
    /// # Errors
    /// An amount that is none.
    pub fn size(&self) -> Result<Size, String> {
        let prices = [&self.price_per_hour, &self.price_per_month];
        size([self.vcpu, self.memory, self.gpu], prices)
    }
}

impl AuditedSize {
    /// The model, and how big it is.
    pub(super) fn known(&self) -> Result<(Place, Size), String> {
        let place = Place {
            zone: self.zone.clone(),
            instance_type: self.instance_type.clone(),
        };
        let prices = [&self.price_per_hour, &self.price_per_month];
        let size = size([self.vcpu, self.memory, self.gpu], prices)?;
        Ok((place, size))
    }
}

fn size([vcpu, memory_gib, gpu]: [u32; 3], prices: [&Option<String>; 2]) -> Result<Size, String> {
    let amount = |text: &String| {
        let amount: Result<Decimal, _> = text.parse();
        amount.map_err(|_not_one| format!("`{text}` is no amount; write \"0.25\""))
    };
    let [hourly, monthly] = prices.map(|price| price.as_ref().map(amount).transpose());
    let (hourly, monthly) = (hourly?.map(Cost::Hourly), monthly?.map(Cost::Monthly));
    Ok(Size {
        vcpu,
        memory_gib,
        gpu,
        cost: hourly.or(monthly),
    })
}
