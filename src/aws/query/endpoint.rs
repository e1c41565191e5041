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

/// The services whose usual endpoint in GovCloud is not a FIPS one.
const OWN_FIPS_IN_GOVCLOUD: [&str; 2] = ["ecs", "elasticfilesystem"];

/// The endpoint that is set, as the SDK's own clients find theirs: that of the client, of the
/// service, or of all services. `None`: it is AWS's.
///
/// `service` is the service's name in the SDKs, such as `EC2`.
pub fn set(config: &SdkConfig, service: &str) -> Option<String> {
    let for_all = config.endpoint_url().map(str::to_owned);
    match config.get_origin("endpoint_url").is_client_config() {
        true => for_all,
        false => for_service(config, service).or(for_all),
    }
}

/// The endpoint that is [`set`], or else AWS's. `host` is the service's name in hosts.
pub fn url(config: &SdkConfig, service: &str, host: &str, region: &str) -> String {
    let aws = || {
        let (fips, dual) =
            (config.use_fips().unwrap_or_default(), config.use_dual_stack().unwrap_or_default());
        awss(host, region, fips, dual)
    };
    set(config, service).unwrap_or_else(aws)
}

/// Such as `AWS_ENDPOINT_URL_EC2`, or `ec2` among the profile's services. A name of several words
/// has `_` between them in both (AWS SDKs and Tools Reference Guide, "Service-specific endpoints");
/// the SDK would look for `cloudwatch-logs` in the profile.
fn for_service(config: &SdkConfig, service: &str) -> Option<String> {
    let service = service.replace(' ', "_");
    let key =
        ServiceConfigKey::builder().service_id(&service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    config.service_config()?.load_config(key.build().ok()?)
}

/// AWS's endpoint of a region (botocore's `endpoint-rule-set` of EC2, STS, ECS, EFS, Service Quotas
/// and Systems Manager).
fn awss(service: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let known = SUFFIXES.iter().find(|(prefix, _)| region.starts_with(prefix));
    let suffix = known.map_or(OTHERS, |(_, suffixes)| *suffixes)[usize::from(dual_stack)];
    let usual_is_fips = region.starts_with("us-gov-") && !OWN_FIPS_IN_GOVCLOUD.contains(&service);
    let is_fips = fips && (dual_stack || !usual_is_fips);
    let service = if dual_stack && service == "elasticfilesystem" { "efs" } else { service };
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
        let efs = |region, fips, dual| awss("elasticfilesystem", region, fips, dual);
        assert_eq!(efs("eu-west-1", false, false), "https://elasticfilesystem.eu-west-1.amazonaws.com");
        assert_eq!(efs("eu-west-1", true, true), "https://efs-fips.eu-west-1.api.aws");
        let in_govcloud = "https://elasticfilesystem-fips.us-gov-west-1.amazonaws.com";
        assert_eq!(efs("us-gov-west-1", true, false), in_govcloud);
    }
}
