# shellcheck shell=sh
# Prelude of a script from Slurm or LSF: $_ah is this node's name, $_al has those of all nodes. A file rather than
# `hostname`, because no process is started for it.
_ah=''
[ ! -r /etc/hostname ] || IFS= read -r _ah </etc/hostname || :
_ah=${_ah:-localhost}
_al=$_ah _an=fork
# only: nodes
# awsb's image knows the nodes' addresses.
_al='' _an=0
for _at in ${AWSB_NODES-}; do
  _al=$_al${_al:+ }$_at
  [ $_an != "${AWS_BATCH_JOB_NODE_INDEX:-0}" ] || _ah=$_at
  _an=$((_an + 1))
done
while [ $_an -lt "${AWS_BATCH_JOB_NUM_NODES:-1}" ]; do
  _at=node-$_an
  [ $_an != "${AWS_BATCH_JOB_NODE_INDEX:-0}" ] || _at=$_ah
  _al=$_al${_al:+ }$_at _an=$((_an + 1))
done
_an=ssh
[ "${AWS_BATCH_JOB_NUM_NODES:-1}" != 1 ] || _an=fork
if [ "${AWSB_NODES-}" ]; then
  _at=/usr/local/lib/awsb/launch.sh
  export HYDRA_LAUNCHER_EXEC="${HYDRA_LAUNCHER_EXEC-$_at}" I_MPI_HYDRA_BOOTSTRAP_EXEC="${I_MPI_HYDRA_BOOTSTRAP_EXEC-$_at}"
fi
# end
# MPI libraries would take the variables for a real Slurm or LSF: what starts ranks on other nodes is ssh all the same,
# and in awsb's image what it has for that. A variable that is set already stays.
export HYDRA_LAUNCHER="${HYDRA_LAUNCHER-$_an}" I_MPI_HYDRA_BOOTSTRAP="${I_MPI_HYDRA_BOOTSTRAP-$_an}"
for _at in OMPI PRTE; do
  for _an in plm ras; do
    eval "export ${_at}_MCA_$_an=\"\${${_at}_MCA_$_an-^slurm,lsf}\""
  done
done
