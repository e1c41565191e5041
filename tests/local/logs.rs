//! CloudWatch Logs, ECS and STS of the local cluster as clients that we did not write see them:
//! boto3 and the `aws` CLI.

use std::time::Duration;

use serde_json::{Value, json};

use awsb_testkit::{Sandbox, eventually, story};

/// The beginning of every program below.
const PRELUDE: &str = r#"
import boto3, itertools, json, sys, time
from botocore.exceptions import ClientError
batch, logs, sts, ecs = map(boto3.client, ('batch', 'logs', 'sts', 'ecs'))
NOW = int(time.time() * 1000)
HOUR, DAY = 3600_000, 24 * 3600_000

def code(call, **arguments):
    """The error that a call ends with."""
    try: return {'no error': str(call(**arguments))}
    except ClientError as error: return error.response['Error']['Code']

def message(call, **arguments):
    try: return {'no error': str(call(**arguments))}
    except ClientError as error: return error.response['Error']['Message']

def stream(group, name, *events):
    """A stream with these events: a time and a message each."""
    logs.create_log_stream(logGroupName=group, logStreamName=name)
    if events: put(group, name, *events)

def put(group, name, *events):
    events = [{'timestamp': time, 'message': message} for time, message in events]
    return logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=events)

def said(events):
    return [event['message'] for event in events]

def filtered(size=None, **arguments):
    """Everything that FilterLogEvents finds, with its paginator; each event is there once."""
    config = {'PageSize': size} if size else {}
    pages = list(logs.get_paginator('filter_log_events').paginate(**arguments, PaginationConfig=config))
    events = sum((page['events'] for page in pages), [])
    ids = [event['eventId'] for event in events]
    assert len(set(ids)) == len(ids), 'an event comes twice'
    assert all(not size or len(page['events']) <= size for page in pages), 'a page is too long'
    return events

def run(command, **arguments):
    """Runs a job; returns its log stream."""
    job = batch.submit_job(jobName='job', jobQueue='local', jobDefinition='local',
        containerOverrides={'command': command}, **arguments)['jobId']
    while True:
        described = batch.describe_jobs(jobs=[job])['jobs'][0]
        if described['status'] in ('SUCCEEDED', 'FAILED'): break
        time.sleep(0.02)
    assert described['status'] == 'SUCCEEDED', described
    return described['container'].get('logStreamName') or job
"#;

/// Runs Python; returns what it prints, as JSON.
#[track_caller]
fn boto3(sandbox: &Sandbox, program: &str) -> Value {
    sandbox.run("python", ["-c", &format!("{PRELUDE}{program}")]).ok().json()
}

#[story]
fn groups_and_streams_from_their_making_to_their_end() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
logs.create_log_group(logGroupName='mine', tags={'a': 'b'})
stream('mine', 'one')
group = logs.describe_log_groups(logGroupNamePrefix='mine')['logGroups'][0]
described = logs.describe_log_streams(logGroupName='mine')['logStreams'][0]
logs.put_retention_policy(logGroupName='mine', retentionInDays=7)
retained = logs.describe_log_groups(logGroupNamePattern='in')['logGroups'][0]
logs.delete_retention_policy(logGroupName='mine')
print(json.dumps({
    'group': group, 'described': described,
    'recent': [abs(thing['creationTime'] - NOW) < 60_000 for thing in (group, described)],
    'retained': retained['retentionInDays'],
    'kept for ever': 'retentionInDays' not in logs.describe_log_groups(logGroupNamePrefix='mine')['logGroups'][0],
    'by identifier': logs.describe_log_streams(logGroupIdentifier=group['logGroupArn'])['logStreams'][0] == described,
    'by identifiers': [g['logGroupName'] for g in logs.describe_log_groups(logGroupIdentifiers=['mine'])['logGroups']],
    'group twice': code(logs.create_log_group, logGroupName='mine'),
    'stream twice': code(logs.create_log_stream, logGroupName='mine', logStreamName='one'),
    'no such group': [code(call, logGroupName='nobody', **arguments) for call, arguments in [
        (logs.create_log_stream, {'logStreamName': 'x'}), (logs.delete_log_group, {}),
        (logs.delete_log_stream, {'logStreamName': 'x'}), (logs.describe_log_streams, {}),
        (logs.put_retention_policy, {'retentionInDays': 1}), (logs.delete_retention_policy, {}),
        (logs.get_log_events, {'logStreamName': 'x'}), (logs.filter_log_events, {}),
        (logs.put_log_events, {'logStreamName': 'x', 'logEvents': [{'timestamp': NOW, 'message': 'm'}]})]],
    'no such stream': [code(call, logGroupName='mine', **arguments) for call, arguments in [
        (logs.delete_log_stream, {'logStreamName': 'x'}), (logs.get_log_events, {'logStreamName': 'x'}),
        (logs.filter_log_events, {'logStreamNames': ['one', 'x']}),
        (logs.put_log_events, {'logStreamName': 'x', 'logEvents': [{'timestamp': NOW, 'message': 'm'}]})]],
    'invalid': [code(call, **arguments) for call, arguments in [
        (logs.create_log_group, {'logGroupName': 'a b'}), (logs.create_log_group, {'logGroupName': 'aws/x'}),
        (logs.create_log_group, {'logGroupName': 'x' * 513}),
        (logs.create_log_group, {'logGroupName': 'x', 'kmsKeyId': 'arn:aws:kms:us-east-1:0:key/1'}),
        (logs.create_log_stream, {'logGroupName': 'mine', 'logStreamName': 'a:b'}),
        (logs.put_retention_policy, {'logGroupName': 'mine', 'retentionInDays': 2}),
        (logs.describe_log_groups, {'limit': 51}), (logs.describe_log_streams, {'logGroupName': 'mine', 'limit': 51}),
        (logs.describe_log_groups, {'logGroupNamePrefix': 'a', 'logGroupNamePattern': 'a'}),
        (logs.describe_log_streams, {}), (logs.describe_log_streams, {'logGroupName': 'mine', 'orderBy': 'Size'}),
        (logs.describe_log_streams, {'logGroupName': 'mine', 'orderBy': 'LastEventTime', 'logStreamNamePrefix': 'a'}),
        (logs.describe_log_streams, {'logGroupName': 'mine', 'orderBy': 'LastEventTime', 'nextToken': 'x'})]],
    'why': message(logs.create_log_group, logGroupName='a b'),
    # Deleted and made again, a stream has nothing of its former life.
    'again': [put('mine', 'one', (NOW, 'old')) and None, logs.delete_log_stream(logGroupName='mine', logStreamName='one')
        and None, stream('mine', 'one'), logs.get_log_events(logGroupName='mine', logStreamName='one')['events']],
    'group deleted': [put('mine', 'one', (NOW, 'old')) and None, logs.delete_log_group(logGroupName='mine') and None,
        code(logs.get_log_events, logGroupName='mine', logStreamName='one'), logs.create_log_group(logGroupName='mine')
        and None, logs.describe_log_streams(logGroupName='mine')['logStreams'], stream('mine', 'one'),
        logs.filter_log_events(logGroupName='mine')['events']],
}))"#,
    );
    let group = &answer["group"];
    assert_eq!(group["arn"], "arn:aws:logs:us-east-1:000000000000:log-group:mine:*");
    assert_eq!(group["logGroupArn"], "arn:aws:logs:us-east-1:000000000000:log-group:mine");
    assert_eq!(group["logGroupClass"], "STANDARD");
    assert_eq!(
        answer["described"]["arn"],
        "arn:aws:logs:us-east-1:000000000000:log-group:mine:log-stream:one"
    );
    assert_eq!(answer["recent"], json!([true, true]));
    assert_eq!((&answer["retained"], &answer["kept for ever"]), (&json!(7), &json!(true)));
    assert_eq!((&answer["by identifier"], &answer["by identifiers"]), (&json!(true), &json!(["mine"])));
    for twice in ["group twice", "stream twice"] {
        assert_eq!(answer[twice], "ResourceAlreadyExistsException");
    }
    assert_eq!(answer["no such group"], json!(vec!["ResourceNotFoundException"; 9]));
    assert_eq!(answer["no such stream"], json!(vec!["ResourceNotFoundException"; 4]));
    assert_eq!(answer["invalid"], json!(vec!["InvalidParameterException"; 13]));
    let why = answer["why"].as_str().unwrap();
    assert!(why.contains("'a b' at 'logGroupName'") && why.contains("regular expression"), "{why}");
    assert_eq!(answer["again"], json!([null, null, null, []]));
    assert_eq!(answer["group deleted"], json!([null, null, "ResourceNotFoundException", null, [], null, []]));
}

#[story]
fn groups_and_streams_in_pages_and_by_their_last_event() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
def listed(operation, key, name, size=None, **arguments):
    pages = logs.get_paginator(operation).paginate(**arguments, PaginationConfig={'PageSize': size} if size else {})
    return [[thing[name] for thing in page[key]] for page in pages]
for n in range(60): logs.create_log_group(logGroupName=f'many/{n:03}')
for n in range(55): stream('many/000', f's/{n:03}')
# In the order of their last events: s/010, s/005, s/020; the others have none.
put('many/000', 's/020', (NOW - 5, 'x'))
put('many/000', 's/005', (NOW - 20, 'x'), (NOW - 10, 'y'))
put('many/000', 's/010', (NOW - 30, 'x'))
group = {'logGroupName': 'many/000'}
by_time = {'orderBy': 'LastEventTime', **group}
five = logs.describe_log_streams(logStreamNamePrefix='s/005', **group)['logStreams'][0]
print(json.dumps({
    'groups': listed('describe_log_groups', 'logGroups', 'logGroupName', logGroupNamePrefix='many/'),
    'groups by 7': listed('describe_log_groups', 'logGroups', 'logGroupName', 7, logGroupNamePrefix='many/'),
    'streams': listed('describe_log_streams', 'logStreams', 'logStreamName', **group),
    'streams by 7': listed('describe_log_streams', 'logStreams', 'logStreamName', 7, **group),
    'backwards': listed('describe_log_streams', 'logStreams', 'logStreamName', 20, descending=True, **group),
    'prefix': listed('describe_log_streams', 'logStreams', 'logStreamName', 4, logStreamNamePrefix='s/01', **group),
    'by time': sum(listed('describe_log_streams', 'logStreams', 'logStreamName', 8, **by_time), []),
    'latest': sum(listed('describe_log_streams', 'logStreams', 'logStreamName', 2, descending=True, **by_time), []),
    'times': [NOW - five['firstEventTimestamp'], NOW - five['lastEventTimestamp'], five['lastIngestionTime'] >= NOW],
}))"#,
    );
    let pages = |key: &str| -> Vec<usize> {
        answer[key].as_array().unwrap().iter().map(|page| page.as_array().unwrap().len()).collect()
    };
    let flat = |key: &str| -> Vec<Value> {
        answer[key].as_array().unwrap().iter().flat_map(|page| page.as_array().unwrap().clone()).collect()
    };
    let names =
        |prefix: &str, n: usize| -> Vec<Value> { (0..n).map(|n| json!(format!("{prefix}{n:03}"))).collect() };
    assert_eq!((pages("groups"), flat("groups")), (vec![50, 10], names("many/", 60)));
    assert_eq!((pages("groups by 7").len(), flat("groups by 7")), (9, names("many/", 60)));
    assert_eq!((pages("streams"), flat("streams")), (vec![50, 5], names("s/", 55)));
    assert_eq!((pages("streams by 7").len(), flat("streams by 7")), (8, names("s/", 55)));
    let mut backwards = names("s/", 55);
    backwards.reverse();
    assert_eq!((pages("backwards"), flat("backwards")), (vec![20, 20, 15], backwards));
    assert_eq!((pages("prefix"), flat("prefix")), (vec![4, 4, 2], names("s/", 20)[10..].to_vec()));
    let last = ["s/010", "s/005", "s/020"];
    assert_eq!(answer["by time"].as_array().unwrap()[52..], last.map(|name| json!(name)));
    assert_eq!(
        answer["latest"].as_array().unwrap()[..3],
        ["s/020", "s/005", "s/010"].map(|name| json!(name))
    );
    for key in ["by time", "latest"] {
        let mut all = answer[key].as_array().unwrap().clone();
        all.sort_by_key(|name| name.as_str().map(str::to_owned));
        assert_eq!(all, names("s/", 55), "{key}: each once");
    }
    assert_eq!(answer["times"], json!([20, 10, true]));
}

#[story]
fn events_are_put_and_come_back_in_the_order_of_time() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
logs.create_log_group(logGroupName='g')
stream('g', 's', (NOW - 10, 'b'), (NOW, 'd'))
put('g', 's', (NOW - 20, 'a'), (NOW - 5, 'c'), (NOW, 'e'))
where = {'logGroupName': 'g', 'logStreamName': 's'}
def pages(limit, head, **arguments):
    """The pages up to where the token comes back unchanged."""
    key = 'nextForwardToken' if head else 'nextBackwardToken'
    found, token = [], None
    while True:
        more = {'nextToken': token} if token else {}
        page = logs.get_log_events(**where, limit=limit, startFromHead=head, **arguments, **more)
        if page[key] == token: return found
        found, token = found + [said(page['events'])], page[key]
first = logs.get_log_events(**where, startFromHead=True, limit=2)
back = logs.get_log_events(**where, startFromHead=True, nextToken=first['nextBackwardToken'])
tail = logs.get_log_events(**where)
put('g', 's', (NOW + 1, 'f'))
event = tail['events'][0]
rejected = put('g', 's', (NOW - 15 * DAY, 'too old'), (NOW + 2, 'g'), (NOW + 3 * HOUR, 'too new'))
def put_events(events): return put('g', 's', *events)
large = [(NOW, 'x' * (1024 * 1024 - 26))]
stream('g', 'large', *large)
wide = [(NOW, '\u00e9' * 400_000 + '"\n\x01' * 1000)]
stream('g', 'wide', *wide)
stream('g', 'full', *[(NOW, 'y')] * 10_000)
print(json.dumps({
    'forward': pages(2, True), 'backward': pages(2, False),
    'between': pages(9, True, startTime=NOW - 10, endTime=NOW), 'between, backward':
        pages(1, False, startTime=NOW - 10, endTime=NOW),
    'first': said(first['events']), 'before the first': said(back['events']),
    'after the tail': said(logs.get_log_events(**where, nextToken=tail['nextForwardToken'])['events']),
    'ingested': event['ingestionTime'] >= NOW, 'time': event['timestamp'] == NOW - 20,
    'rejected': rejected['rejectedLogEventsInfo'],
    'large': [len(event['message']) for event in logs.get_log_events(logGroupName='g', logStreamName='large')['events']],
    'wide': said(logs.get_log_events(logGroupName='g', logStreamName='wide')['events']) == [wide[0][1]],
    'full': len(logs.get_log_events(logGroupName='g', logStreamName='full')['events']),
    'invalid': [code(call, **arguments) for call, arguments in [
        (put_events, {'events': [(NOW, 'x'), (NOW - 1, 'y')]}),
        (put_events, {'events': [(NOW - 25 * HOUR, 'x'), (NOW, 'y')]}),
        (put_events, {'events': [(NOW, 'x' * (1024 * 1024 - 25))]}),
        (put_events, {'events': [(NOW, 'x')] * 10_001}),
        (logs.get_log_events, {**where, 'limit': 10_001}), (logs.get_log_events, {**where, 'nextToken': 'f/1'}),
        (logs.get_log_events, {**where, 'nextToken': 'f/' + '9' * 56}),
        (logs.get_log_events, {**where, 'logGroupIdentifier': 'g'}), (logs.get_log_events, {'logStreamName': 's'})]],
    'nothing of them is there': said(logs.get_log_events(**where)['events']),
}))"#,
    );
    assert_eq!(answer["forward"], json!([["a", "b"], ["c", "d"], ["e", "f"], ["g"]]));
    assert_eq!(answer["backward"], json!([["f", "g"], ["d", "e"], ["b", "c"], ["a"]]));
    assert_eq!(answer["between"], json!([["b", "c"]]));
    assert_eq!(answer["between, backward"], json!([["c"], ["b"]]));
    assert_eq!((&answer["first"], &answer["before the first"]), (&json!(["a", "b"]), &json!([])));
    assert_eq!(answer["after the tail"], json!(["f", "g"]));
    assert_eq!((&answer["ingested"], &answer["time"]), (&json!(true), &json!(true)));
    assert_eq!(answer["rejected"], json!({"tooNewLogEventStartIndex": 2, "tooOldLogEventEndIndex": 1}));
    assert_eq!((&answer["large"], &answer["wide"]), (&json!([1024 * 1024 - 26]), &json!(true)));
    assert_eq!(answer["full"], 10_000);
    assert_eq!(answer["invalid"], json!(vec!["InvalidParameterException"; 9]));
    assert_eq!(answer["nothing of them is there"], json!(["a", "b", "c", "d", "e", "f", "g"]));
}

#[story]
fn events_of_many_streams_come_filtered_and_in_pages() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
logs.create_log_group(logGroupName='g')
BASE = NOW - HOUR
for n in range(12):
    stream('g', f'{"even" if n % 2 == 0 else "odd"}/{n}', *[(BASE + 100 * k + n, f'line {k} of {n}') for k in range(50)])
stream('g', 'empty')
group = {'logGroupName': 'g'}
lines = [f'line {k} of {n}' for k in range(50) for n in range(12)]
event = filtered(logStreamNames=['odd/3'], limit=1, **group)[0]
print(json.dumps({
    'all': [said(filtered(size, **group)) == lines for size in (None, 7, 100, 599, 600, 601)],
    'newest first': [said(filtered(size, startFromHead=False, **group)) == lines[::-1] for size in (None, 7)],
    'by arn': len(filtered(logGroupIdentifier='arn:aws:logs:us-east-1:000000000000:log-group:g')),
    'named': said(filtered(3, logStreamNames=['odd/3', 'even/2', 'odd/3'], startTime=BASE, endTime=BASE + 102, **group)),
    'prefix': said(filtered(logStreamNamePrefix='odd', startTime=BASE + 4900, **group)),
    'the end counts': said(filtered(startTime=BASE + 101, endTime=BASE + 102, **group)),
    'term': len(filtered(5, filterPattern='7', **group)),
    'terms': said(filtered(filterPattern='7 "of 11" -47 -17', **group)),
    'or': len(filtered(filterPattern='?"of 10" ?"of 11"', **group)),
    'phrase': said(filtered(filterPattern='"line 3 of 3"', **group)),
    'nothing': filtered(filterPattern='nothing', **group),
    'event': event, 'time': event['timestamp'] - BASE,
    'searched': logs.filter_log_events(**group)['searchedLogStreams'],
    'invalid': [code(logs.filter_log_events, **group, **arguments) for arguments in [
        {'filterPattern': '{ $.a = 1 }'}, {'filterPattern': '[a, b]'}, {'filterPattern': '%a+%'},
        {'filterPattern': '"open'}, {'filterPattern': 'a.b'}, {'limit': 10_001}, {'nextToken': 'x'},
        {'logStreamNames': ['even/0'], 'logStreamNamePrefix': 'e'}, {'logStreamNames': [f'{n}' for n in range(101)]}]],
    'why': message(logs.filter_log_events, **group, filterPattern='{ $.a = 1 }'),
}))"#,
    );
    assert_eq!(answer["all"], json!(vec![true; 6]));
    assert_eq!(answer["newest first"], json!(vec![true; 2]));
    assert_eq!(answer["by arn"], 600);
    assert_eq!(answer["named"], json!(["line 0 of 2", "line 0 of 3", "line 1 of 2"]));
    let odd: Vec<String> = [1, 3, 5, 7, 9, 11].map(|n| format!("line 49 of {n}")).to_vec();
    assert_eq!(answer["prefix"], json!(odd));
    assert_eq!(answer["the end counts"], json!(["line 1 of 1", "line 1 of 2"]));
    // 7, 17, 27, 37 and 47 of each stream, and every line of the one with the number 7.
    assert_eq!(answer["term"], 5 * 12 + 50 - 5);
    assert_eq!(answer["terms"], json!(["line 7 of 11", "line 27 of 11", "line 37 of 11"]));
    assert_eq!(answer["or"], 100);
    assert_eq!(answer["phrase"], json!(["line 3 of 3"]));
    assert_eq!(answer["nothing"], json!([]));
    assert_eq!((&answer["event"]["logStreamName"], &answer["time"]), (&json!("odd/3"), &json!(3)));
    assert_eq!(answer["searched"], json!([]));
    assert_eq!(answer["invalid"], json!(vec!["InvalidParameterException"; 9]));
    assert!(answer["why"].as_str().unwrap().contains("does not have patterns for JSON"), "{}", answer["why"]);
}

#[story]
fn what_jobs_write_and_what_is_put_beside_it_is_one_stream() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
group = {'logGroupName': '/aws/batch/job'}
name = run(['sh', '-c', 'echo one; echo two; printf three'])
put(group['logGroupName'], name, (NOW - DAY, 'before'))
put(group['logGroupName'], name, (NOW + HOUR, 'after'))
where = {**group, 'logStreamName': name}
all_at_once = said(logs.get_log_events(**where, startFromHead=True)['events'])
one_by_one, token = [], None
while True:
    page = logs.get_log_events(**where, startFromHead=True, limit=1, **({'nextToken': token} if token else {}))
    if page['nextForwardToken'] == token: break
    one_by_one, token = one_by_one + said(page['events']), page['nextForwardToken']
# An array, all of whose lines are there, once and in order.
array = run(['sh', '-c', 'for i in 1 2 3; do echo $AWS_BATCH_JOB_ARRAY_INDEX $i; done'], arrayProperties={'size': 40})
events = filtered(17, **group, startTime=NOW, endTime=NOW + HOUR - 1, logStreamNamePrefix='local/default/')
events = [event for event in events if event['logStreamName'] != name]
described = logs.describe_log_streams(**group, logStreamNamePrefix=name)['logStreams'][0]
logs.delete_log_stream(**where)
print(json.dumps({
    'all at once': all_at_once, 'one by one': one_by_one,
    'span': [described['firstEventTimestamp'] == NOW - DAY, described['lastEventTimestamp'] == NOW + HOUR],
    'lines': sorted(said(events)) == sorted(f'{n} {i}' for n in range(40) for i in (1, 2, 3)),
    'in order': all(a['timestamp'] <= b['timestamp'] for a, b in zip(events, events[1:])),
    'each in order': all(said(events) == [f'{m.split()[0]} {i}' for i in (1, 2, 3) for m in said(events)[:1]]
        for _, events in ((key, list(of)) for key, of in itertools.groupby(
            sorted(events, key=lambda e: e['logStreamName']), key=lambda e: e['logStreamName']))),
    'deleted': code(logs.get_log_events, **where),
    'not found': [e for e in filtered(**group) if e['logStreamName'] == name],
    'even the group': [logs.delete_log_group(**group) and None, run(['echo', 'back again']) and None,
        said(filtered(**group))],
}))"#,
    );
    let lines = json!(["before", "one", "two", "three", "after"]);
    assert_eq!((&answer["all at once"], &answer["one by one"]), (&lines, &lines));
    assert_eq!(answer["span"], json!([true, true]));
    for holds in ["lines", "in order", "each in order"] {
        assert_eq!(answer[holds], true, "{holds}");
    }
    assert_eq!((&answer["deleted"], &answer["not found"]), (&json!("ResourceNotFoundException"), &json!([])));
    assert_eq!(answer["even the group"], json!([null, null, ["back again"]]));
}

/// How `aws logs tail --follow` of the AWS CLI 2 works: it asks from the time of the last event
/// that it has seen, and leaves out what it has seen by the events' IDs.
#[story]
fn a_stream_is_followed_while_a_job_and_others_write() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
group = {'logGroupName': '/aws/batch/job'}
job = batch.submit_job(jobName='job', jobQueue='local', jobDefinition='local', containerOverrides={
    'command': ['sh', '-c', 'for i in $(seq 400); do echo $i; [ $((i % 40)) = 0 ] && sleep 0.05; done; true']})['jobId']
ended, seen, lines, since, puts = False, set(), [], {'startTime': NOW - HOUR}, 0
while True:
    last = ended
    described = batch.describe_jobs(jobs=[job])['jobs'][0]
    ended = described['status'] in ('SUCCEEDED', 'FAILED')
    if name := described['container'].get('logStreamName'):
        put(group['logGroupName'], name, (int(time.time() * 1000), f'put {puts}'))
        puts += 1
    token = {}
    while token is not None:
        page = logs.filter_log_events(**group, **since, **token, limit=50)
        for event in page['events']:
            if event['eventId'] in seen: continue
            seen.add(event['eventId'])
            lines.append(event['message'])
            since = {'startTime': event['timestamp']}
        token = {'nextToken': page['nextToken']} if 'nextToken' in page else None
    if last: break
print(json.dumps({'job': [line for line in lines if 'put' not in line], 'puts': puts,
    'put': [line for line in lines if 'put' in line]}))"#,
    );
    let numbered = |prefix: &str, numbers: std::ops::Range<u64>| -> Vec<String> {
        numbers.map(|n| format!("{prefix}{n}")).collect()
    };
    assert_eq!(answer["job"], json!(numbered("", 1..401)));
    let puts = answer["puts"].as_u64().unwrap();
    assert!(puts > 1, "the job has been written beside: {puts}");
    assert_eq!(answer["put"], json!(numbered("put ", 0..puts)));
}

#[story]
fn what_was_put_survives_the_server() {
    let mut sandbox = Sandbox::with_aws();
    boto3(
        &sandbox,
        "logs.create_log_group(logGroupName='g')\nstream('g', 's', (NOW, 'kept'))\nprint(json.dumps(0))",
    );
    let pid = sandbox.run("blocal", ["status", "--json"]).ok().json()[0]["pid"].to_string();
    sandbox.run("kill", ["-9", &pid]).ok();
    eventually("the server is gone", Duration::from_secs(30), || {
        (sandbox.run("blocal", ["status"]).code() == 1).then_some(())
    });
    sandbox.run("blocal", ["start"]).ok();
    // Another program may have taken the port meanwhile.
    sandbox.use_local_exports();
    let answer = boto3(&sandbox, "print(json.dumps(said(filtered(logGroupName='g'))))");
    assert_eq!(answer, json!(["kept"]));
}

#[story]
fn what_is_older_than_the_retention_is_not_shown_and_then_removed() {
    let mut sandbox = Sandbox::with_aws();
    let names = boto3(
        &sandbox,
        r#"
for group in 'short', 'long': logs.create_log_group(logGroupName=group)
events = [(NOW - 3 * DAY, 'old'), (NOW - 2.5 * DAY, 'older than two days'), (NOW - 2.1 * DAY, 'x')]
events = [(int(time), message) for time, message in events]
for group in 'short', 'long': stream(group, 's', *events), put(group, 's', (NOW, 'new'))
logs.put_retention_policy(logGroupName='short', retentionInDays=1)
where = {'logGroupName': 'short', 'logStreamName': 's'}
rejected = put('short', 's', (NOW - 36 * HOUR, 'expired'), (NOW - 20 * HOUR, 'kept'))['rejectedLogEventsInfo']
print(json.dumps({'job': run(['echo', 'from the job']), 'rejected': rejected,
    'shown': [said(logs.get_log_events(**where)['events']), said(filtered(logGroupName='short'))],
    'other group': len(filtered(logGroupName='long'))}))"#,
    );
    assert_eq!(names["rejected"], json!({"expiredLogEventEndIndex": 1}));
    assert_eq!(names["shown"], json!([["kept", "new"], ["kept", "new"]]));
    assert_eq!(names["other group"], 4);

    // The job's line grows three days older, as nobody waits that long.
    let day_before = |line: &str| {
        let (time, message) = line.split_once(' ').unwrap();
        format!("{} {message}\n", time.parse::<i64>().unwrap() - 3 * 24 * 3600 * 1000)
    };
    let files = |folder: &std::path::Path| -> Vec<std::path::PathBuf> {
        let entries = |folder: &std::path::Path| -> Vec<_> {
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        entries(folder).iter().flat_map(|folder| entries(folder)).collect()
    };
    let logs = sandbox.local_home().join("logs");
    let [file] = files(&logs).try_into().unwrap();
    let old: String = std::fs::read_to_string(&file).unwrap().lines().map(day_before).collect();
    std::fs::write(&file, old).unwrap();
    let job = names["job"].as_str().unwrap();
    let shown = boto3(
        &sandbox,
        &format!(
            "where = {{'logGroupName': '/aws/batch/job', 'logStreamName': {job:?}}}\n\
             before = said(logs.get_log_events(**where)['events'])\n\
             logs.put_retention_policy(logGroupName='/aws/batch/job', retentionInDays=1)\n\
             print(json.dumps([before, said(logs.get_log_events(**where)['events'])]))"
        ),
    );
    assert_eq!(shown, json!([["from the job"], []]));

    // A server that starts looks at once; what it has removed does not come back with a longer
    // retention.
    sandbox.run("blocal", ["stop"]).ok();
    sandbox.run("blocal", ["start"]).ok();
    sandbox.use_local_exports();
    eventually("the file is gone", Duration::from_secs(30), || files(&logs).is_empty().then_some(()));
    let left = boto3(
        &sandbox,
        &format!(
            "for group in 'short', '/aws/batch/job': logs.delete_retention_policy(logGroupName=group)\n\
             print(json.dumps([said(filtered(logGroupName=group)) for group in ('short', 'long', '/aws/batch/job')] +\n\
             \x20   [logs.get_log_events(logGroupName='/aws/batch/job', logStreamName={job:?})['events']]))"
        ),
    );
    assert_eq!(left, json!([["kept", "new"], ["old", "older than two days", "x", "new"], [], []]));
}

#[story]
fn what_a_stream_that_is_gone_has_left_goes_when_the_server_starts() {
    let sandbox = Sandbox::with_aws();
    boto3(
        &sandbox,
        "logs.create_log_group(logGroupName='g')\nfor n in 'gone', 'there': stream('g', n, (NOW, n))\nprint(json.dumps(0))",
    );
    sandbox.run("blocal", ["stop"]).ok();
    // As when the server is killed between the two steps of a deletion.
    let open = |name: &str| rusqlite::Connection::open(sandbox.local_home().join(name)).unwrap();
    open("batch.db").execute("DELETE FROM log_streams WHERE name = 'gone'", []).unwrap();
    sandbox.run("blocal", ["start"]).ok();
    eventually("only the other stream's event is there", Duration::from_secs(30), || {
        let db = open("logs.db");
        let left: Vec<String> = db
            .prepare("SELECT message FROM events")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .unwrap_or_default();
        (left == ["there"]).then_some(())
    });
}

#[story]
fn the_aws_cli_searches_logs_and_finds_out_who_and_where_it_is() {
    let sandbox = Sandbox::with_aws();
    let aws = |arguments: &[&str]| {
        let outcome = sandbox.run("aws", arguments).ok();
        if outcome.stdout.is_empty() { Value::Null } else { outcome.json() }
    };
    sandbox.file("job.sh", "echo a warning\necho an error\n");
    sandbox.run("bsub", ["-K", "job.sh"]).ok();
    let found = aws(&[
        "logs",
        "filter-log-events",
        "--log-group-name",
        "/aws/batch/job",
        "--filter-pattern",
        "error -warning",
    ]);
    let [event] = found["events"].as_array().unwrap().as_slice() else { panic!("one event: {found}") };
    assert_eq!(event["message"], "an error");

    aws(&["logs", "create-log-group", "--log-group-name", "cli"]);
    aws(&["logs", "create-log-stream", "--log-group-name", "cli", "--log-stream-name", "s"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let events = json!([{"timestamp": now as u64, "message": "from the CLI"}]).to_string();
    let place = ["--log-group-name", "cli", "--log-stream-name", "s"];
    aws(&[&["logs", "put-log-events"][..], &place, &["--log-events", &events]].concat());
    let got = aws(&[&["logs", "get-log-events"][..], &place].concat());
    assert_eq!(got["events"][0]["message"], "from the CLI");
    let streams = aws(&[
        "logs",
        "describe-log-streams",
        "--log-group-name",
        "cli",
        "--order-by",
        "LastEventTime",
        "--descending",
    ]);
    assert_eq!(streams["logStreams"][0]["lastEventTimestamp"], json!(now as u64));
    aws(&[&["logs", "delete-log-stream"][..], &place].concat());
    aws(&["logs", "delete-log-group", "--log-group-name", "cli"]);

    let who = aws(&["sts", "get-caller-identity"]);
    assert_eq!(who["Account"], "000000000000");
    assert!(who["Arn"].as_str().unwrap().starts_with("arn:aws:iam::000000000000:user/"), "{who}");
    assert!(who["UserId"].as_str().is_some_and(|id| id.len() > 16), "{who}");

    let environments = aws(&["batch", "describe-compute-environments"]);
    let cluster = environments["computeEnvironments"][0]["ecsClusterArn"].as_str().unwrap();
    let listed = aws(&["ecs", "list-container-instances", "--cluster", cluster]);
    let [instance] = listed["containerInstanceArns"].as_array().unwrap().as_slice() else {
        panic!("{listed}")
    };
    let described = aws(&[
        "ecs",
        "describe-container-instances",
        "--cluster",
        cluster,
        "--container-instances",
        instance.as_str().unwrap(),
    ]);
    assert_eq!(described["containerInstances"][0]["containerInstanceArn"], *instance);
}

#[story]
fn ecs_shows_this_machine_and_what_of_it_is_in_use() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
def machine():
    return ecs.describe_container_instances(cluster='local', containerInstances=['local'])['containerInstances'][0]
def amounts(instance, which):
    return {r['name']: r['integerValue'] for r in instance[which]}
idle = machine()
job = batch.submit_job(jobName='job', jobQueue='local', jobDefinition='local', containerOverrides={
    'command': ['sleep', '600'], 'resourceRequirements': [
        {'type': 'VCPU', 'value': '1'}, {'type': 'MEMORY', 'value': '64'}]})['jobId']
while (job_now := batch.describe_jobs(jobs=[job])['jobs'][0])['status'] != 'RUNNING': time.sleep(0.02)
busy = machine()
clusters = ecs.describe_clusters(clusters=['local', 'other'])
batch.terminate_job(jobId=job, reason='seen')
registered, free, less = amounts(idle, 'registeredResources'), amounts(idle, 'remainingResources'), \
    amounts(busy, 'remainingResources')
pages = [page['containerInstanceArns'] for page in ecs.get_paginator('list_container_instances').paginate(cluster='local')]
print(json.dumps({
    'idle': registered == free, 'taken': [free[name] - less[name] for name in ('CPU', 'MEMORY')],
    'vcpus': batch.describe_compute_environments()['computeEnvironments'][0]['computeResources']['maxvCpus'] * 1024
        == registered['CPU'],
    'tasks': [idle['runningTasksCount'], busy['runningTasksCount'], clusters['clusters'][0]['runningTasksCount']],
    'job is there': job_now['container']['containerInstanceArn'] == busy['containerInstanceArn'] == pages[0][0],
    'instance': [busy['status'], busy['agentConnected'], busy['ec2InstanceId'][:2], len(pages)],
    'registered': abs(busy['registeredAt'].timestamp() - time.time()) < 600,
    'clusters': [ecs.list_clusters()['clusterArns'] == [c['clusterArn'] for c in clusters['clusters']],
        clusters['failures'][0]['reason']],
    'draining': ecs.list_container_instances(cluster='local', status='DRAINING')['containerInstanceArns'],
    'failures': ecs.describe_container_instances(cluster='local', containerInstances=['nobody'])['failures'],
    'no cluster': [code(ecs.list_container_instances), code(ecs.list_container_instances, cluster='other'),
        code(ecs.describe_container_instances, cluster='other', containerInstances=['local'])],
    'invalid': [code(ecs.list_container_instances, cluster='local', maxResults=101),
        code(ecs.list_container_instances, cluster='local', nextToken='x'),
        code(ecs.describe_container_instances, cluster='local', containerInstances=[])],
}))"#,
    );
    assert_eq!(answer["idle"], true);
    assert_eq!(answer["taken"], json!([1024, 64]));
    assert_eq!((&answer["vcpus"], &answer["tasks"]), (&json!(true), &json!([0, 1, 1])));
    assert_eq!(answer["job is there"], true);
    assert_eq!(answer["instance"], json!(["ACTIVE", true, "i-", 1]));
    assert_eq!(answer["registered"], true);
    assert_eq!(answer["clusters"], json!([true, "MISSING"]));
    assert_eq!(answer["draining"], json!([]));
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    assert_eq!(answer["no cluster"], json!(vec!["ClusterNotFoundException"; 3]));
    assert_eq!(answer["invalid"], json!(vec!["InvalidParameterException"; 3]));
}

#[story]
fn what_is_not_there_is_refused_in_the_words_of_each_protocol() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        r#"
def refusal(call, **arguments):
    try: call(**arguments)
    except ClientError as error:
        response = error.response
        return [response['ResponseMetadata']['HTTPStatusCode'], response['Error']['Code'],
            len(response['ResponseMetadata']['RequestId'])]
print(json.dumps({
    'logs': refusal(logs.describe_metric_filters), 'ecs': refusal(ecs.list_services),
    'batch': refusal(batch.describe_service_environments), 'sts': refusal(sts.get_session_token),
    'dynamodb': refusal(boto3.client('dynamodb').list_tables), 'sns': refusal(boto3.client('sns').list_topics),
    'identity': len(sts.get_caller_identity()['ResponseMetadata']['RequestId']),
    'forged': refusal(boto3.client('sts', aws_secret_access_key='x' * 40,
        aws_access_key_id=boto3.Session().get_credentials().access_key).get_caller_identity)[:2],
}))"#,
    );
    assert_eq!(answer["logs"], json!([400, "UnknownOperationException", 36]));
    assert_eq!(answer["ecs"], json!([400, "UnknownOperationException", 36]));
    assert_eq!(answer["batch"], json!([404, "UnknownOperationException", 36]));
    assert_eq!(answer["sts"], json!([400, "InvalidAction", 36]));
    assert_eq!(answer["dynamodb"], json!([404, "UnknownOperationException", 36]));
    assert_eq!(answer["sns"], json!([404, "InvalidAction", 36]));
    assert_eq!(answer["identity"], 36);
    assert_eq!(answer["forged"], json!([403, "SignatureDoesNotMatch"]));
}
