# shellcheck shell=bash disable=SC2034,SC2154  # what one of these scripts sets, another one reads
# The key of this job and attempt: who may log in, and whom one reaches. The nodes share it through
# an object of its own, which only the job role can read and which is there only until all nodes
# have it.

# AWS_BATCH_JOB_ID is ID#INDEX on a node.
object=${AWSB_NODES_URL%/}/${AWS_BATCH_JOB_ID%%#*}/${AWS_BATCH_JOB_ATTEMPT:-1}

# Before 2.13 the CLI does not read the endpoint's variables by itself.
s3() {
    local endpoint=${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL-}}
    aws s3 "$@" --only-show-errors ${AWSB_NODES_REGION:+--region "$AWSB_NODES_REGION"} \
        ${endpoint:+--endpoint-url "$endpoint"}
}

make_key() {
    ssh-keygen -q -t ed25519 -N '' -C awsb -f "$dir/key"
    ssh-keygen -q -t ed25519 -N '' -C awsb -f "$dir/host_key"
}

send_key() {
    local said
    said=$(cat "$dir/key" "$dir/host_key" | s3 cp - "$object" 2>&1) ||
        fail "cannot write $object, by which the other nodes get this job's ssh key: ${said##*$'\n'}
The job role needs s3:PutObject, s3:GetObject and s3:DeleteObject on it (docs/iam.md)."
}

# fetch_key: whether it was there; what was said else is in $said.
fetch_key() {
    said=$(s3 cp "$object" "$dir/both" 2>&1) || return 1
    awk -v dir="$dir" '/BEGIN/ { n++ } { print > (n == 1 ? dir "/key" : dir "/host_key") }' "$dir/both"
    rm "$dir/both"
    ssh-keygen -y -f "$dir/key" >"$dir/key.pub"
    ssh-keygen -y -f "$dir/host_key" >"$dir/host_key.pub"
}

delete_key() {
    local said
    said=$(s3 rm "$object" 2>&1) || say "cannot delete $object, this job's ssh key: ${said##*$'\n'}"
}

# start_sshd: with the key alone one comes in, and only the host that has the host's key is trusted.
start_sshd() {
    echo "awsb-nodes $(<"$dir/host_key.pub")" >"$dir/known_hosts"
    # A session has none of the container's variables by itself: ssh_connect.py puts them back.
    env -0 >"$dir/environment"
    /usr/sbin/sshd -f "$here/sshd_config" -E "$dir/sshd.log" -o "Port=${AWSB_SSH_PORT:-2222}" || {
        cat "$dir/sshd.log" >&2
        fail "sshd does not start on port ${AWSB_SSH_PORT:-2222} (AWSB_SSH_PORT)"
    }
}

# to_node ADDRESS COMMAND…
to_node() {
    ssh -F "$here/ssh_config" -o "Port=${AWSB_SSH_PORT:-2222}" "$@"
}
