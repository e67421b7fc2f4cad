"""The work in Dagster: `dagster_work.py chain|fan N`, with DAGSTER_HOME set.

Recorded: the run, and each op's events, in SQLite; each value as a pickle in a file. All ops run in Dagster's
own process (`execute_in_process`), one after the other: its executor of several processes starts one for each
op, which takes seconds.
"""

import sys
from collections.abc import Iterator

import dagster


@dagster.op
def one(x: int) -> int:
    return x + 1


@dagster.op
def total(xs: list[int]) -> int:
    return sum(xs)


@dagster.op(config_schema={"count": int}, out=dagster.DynamicOut(int))
def numbers(context: dagster.OpExecutionContext) -> Iterator[dagster.DynamicOutput[int]]:
    for number in range(context.op_config["count"]):
        yield dagster.DynamicOutput(number, mapping_key=str(number))


def chain_of(count: int) -> dagster.JobDefinition:
    @dagster.op(out=dagster.Out(int))
    def zero() -> int:
        return 1

    @dagster.job(name="chain", resource_defs={"io_manager": dagster.fs_io_manager})
    def job() -> None:
        x = zero()
        for number in range(count - 1):
            x = one.alias(f"one_{number}")(x)

    return job


def fan_of(count: int) -> dagster.JobDefinition:
    @dagster.job(
        name="fan",
        resource_defs={"io_manager": dagster.fs_io_manager},
        config={"ops": {"numbers": {"config": {"count": count}}}},
    )
    def job() -> None:
        total(numbers().map(one).collect())

    return job


def main(shape: str, count: int) -> None:
    job = chain_of(count) if shape == "chain" else fan_of(count)
    with dagster.DagsterInstance.get() as instance:
        result = job.execute_in_process(instance=instance)
        assert result.success
        last = f"one_{count - 2}" if shape == "chain" else "total"
        assert result.output_for_node(last) == (count if shape == "chain" else count * (count + 1) // 2)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
