/* Every rank says who and where it is, once all have added up their numbers. `ranks CODE`: the last one aborts, while
   the others sleep. None of them may be inside of MPI: a rank that sees the connection of another end would abort the
   job itself, with a code of its own, and which of the two codes mpirun returns would be a matter of luck. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 1 << 18 };
static int mine[MANY], all[MANY];

int main(int argc, char **argv) {
    int rank, size, length;
    char host[MPI_MAX_PROCESSOR_NAME];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &length);
    for (int i = 0; i < MANY; i++)
        mine[i] = rank;
    /* More than fits into a message that needs no partner: the nodes really talk to each other. */
    MPI_Allreduce(mine, all, MANY, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    const char *greeting = getenv("GREETING"), *node = getenv("AWS_BATCH_JOB_NODE_INDEX");
    printf("rank %d of %d: host %s, node %s, sum %d, %s\n", rank, size, host, node ? node : "-", all[MANY - 1],
           greeting ? greeting : "-");
    fflush(stdout);
    if (argc > 1 && rank == size - 1)
        MPI_Abort(MPI_COMM_WORLD, atoi(argv[1]));
    if (argc > 1)
        for (;;)
            pause();
    MPI_Finalize();
    return 0;
}
