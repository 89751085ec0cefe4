"""Replays: variants in supervised worker processes, their journal, the engines `local` and `ray`.

    engines      local_engine · ray_engine, ray_crew, ray_session        where workers run
    hosting      sweeps · supervisor · worker_child · process_keeper     start, watch, replace
    in a worker  process · worker · rows · slots · calls · answering     call, score, retry, keep
    variants     variant_code · variant_loading · variant_output         what user code is held to
    journal      journal · journal_rows · shard_notes · columns          what is known in the end

The wiring takes the two engines, `journal` and `variant_code`; the rest is theirs.
"""
