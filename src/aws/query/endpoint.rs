//! Where a service is.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

/// The part after the region in the names of hosts: of IPv4 alone, and of both (botocore's
/// `partitions.json`).
const SUFFIXES: [(&str, [&str; 2]); 6] = [
    ("cn-", ["amazonaws.com.cn", "api.amazonwebservices.com.cn"]),
    ("eusc-", ["amazonaws.eu", "api.amazonwebservices.eu"]),
    ("us-iso-", ["c2s.ic.gov", "api.aws.ic.gov"]),
    ("us-isob-", ["sc2s.sgov.gov", "api.aws.scloud"]),
    ("eu-isoe-", ["cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"]),
    ("us-isof-", ["csp.hci.ic.gov", "api.aws.hci.ic.gov"]),
];
const OTHERS: [&str; 2] = ["amazonaws.com", "api.aws"];

/// The endpoint, as the SDK's own clients find theirs: what was set for the client, for the
/// service, for all services, or AWS's.
///
/// `service` is the service's name in the SDKs, such as `EC2`, and `host` its name in hosts.
pub fn url(config: &SdkConfig, service: &str, host: &str, region: &str) -> String {
    let for_all = config.endpoint_url().map(str::to_owned);
    let set = match config.get_origin("endpoint_url").is_client_config() {
        true => for_all,
        false => for_service(config, service).or(for_all),
    };
    let aws = || {
        let (fips, dual) =
            (config.use_fips().unwrap_or_default(), config.use_dual_stack().unwrap_or_default());
        awss(host, region, fips, dual)
    };
    set.unwrap_or_else(aws)
}

/// Such as `AWS_ENDPOINT_URL_EC2`, or `ec2` among the profile's services.
fn for_service(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    config.service_config()?.load_config(key.build().ok()?)
}

/// AWS's endpoint of a region (botocore's `ec2/endpoint-rule-set` and `sts/endpoint-rule-set`).
fn awss(service: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let known = SUFFIXES.iter().find(|(prefix, _)| region.starts_with(prefix));
    let suffix = known.map_or(OTHERS, |(_, suffixes)| *suffixes)[usize::from(dual_stack)];
    // In GovCloud, the usual endpoint is a FIPS one.
    let is_fips = fips && (dual_stack || !region.starts_with("us-gov-"));
    let fips = if is_fips { "-fips" } else { "" };
    format!("https://{service}{fips}.{region}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awss_own_endpoints() {
        for (region, fips, dual, host) in [
            ("eu-west-1", false, false, "ec2.eu-west-1.amazonaws.com"),
            ("eu-west-1", false, true, "ec2.eu-west-1.api.aws"),
            ("us-east-1", true, false, "ec2-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, false, "ec2.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, false, "ec2.cn-north-1.amazonaws.com.cn"),
            ("us-isob-east-1", false, false, "ec2.us-isob-east-1.sc2s.sgov.gov"),
            ("us-iso-east-1", false, false, "ec2.us-iso-east-1.c2s.ic.gov"),
        ] {
            assert_eq!(awss("ec2", region, fips, dual), format!("https://{host}"));
        }
    }
}
