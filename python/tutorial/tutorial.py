# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# The page `tutorial.md` is made from this script:
#
#   pip install jupytext nbconvert ipykernel
#   jupytext --to ipynb --execute tutorial.py
#   jupyter nbconvert --to markdown tutorial.ipynb

# %% [markdown]
# # From two arrays to a federated app in ten minutes
#
# Three hospitals want the average of their model updates. None of them wants to reveal its update.
# This page starts with two arrays and ends with a complete app. It contains all code. The output of
# each block is below it.
#
# To follow along, install the package (see the [README](../README.md)) and run the blocks one after
# the other:
#
# ```text
# pip install cipherfold-*.whl
# python tutorial.py
# ```

# %% [markdown]
# ## One minute: the average of two arrays
#
# `simulate` runs all parties of a round in this process, with real encryption between them.

# %%
import numpy as np

import cipherfold as cf

updates = [
    {"weights": np.array([[0.25, -0.5], [0.0, 1.0]], dtype=np.float32), "bias": np.float32(0.5)},
    {"weights": np.array([[0.75, -0.1], [0.5, 1.0]], dtype=np.float32), "bias": np.float32(-0.25)},
]
mean = cf.simulate.secure_mean(updates, clip=1.0, bits=16, key_bits=2048)
print(mean.values["weights"])
print("bias", mean.values["bias"])
print(mean.participants, "took part; total weight", mean.weight)

# %% [markdown]
# The average is not exact: each value was clipped to ±1 and rounded to 16 bits before it was
# encrypted. The maximum error is known in advance, and holds for every value.

# %%
expected = (updates[0]["weights"] + updates[1]["weights"]) / 2
quantizer = cf.Quantizer(clip=1.0, bits=16)
spec = cf.RoundSpec.for_arrays(updates[0], quantizer, max_clients=3, min_clients=2, key_bits=2048)
error = float(np.abs(mean.values["weights"] - expected).max())
print(f"largest error {error:.2e}, bound {spec.error_bound:.2e}")
assert error <= spec.error_bound + 1e-7  # float32 rounds once more

# %% [markdown]
# ## Three minutes: the same round between parties
#
# In a real round every party is a separate program on a separate machine. The first step is the
# **key**. The party with the secret key can decrypt all ciphertexts that it receives, so it must
# receive only sums. In this example it is the server.

# %%
key = cf.SecretKey.generate(bits=2048)  # the default is 3072
announced = key.public.to_bytes()  # sent to all parties
pin = key.public.pin  # told by telephone, or printed in the contract
print(len(announced), "bytes;", "pin", pin[:16], "…")

# %% [markdown]
# The **pin** prevents a relay from replacing the key: `PublicKey.from_bytes` refuses every other
# key.

# %%
public = cf.PublicKey.from_bytes(announced, pin)
try:
    cf.PublicKey.from_bytes(announced, "00" * 32)
except cf.PinMismatch as refused:
    print("refused:", refused)

# %% [markdown]
# Next the **round is declared**, before any client works: names, types and shapes of the arrays,
# the encoding of their numbers, and the maximum and minimum number of clients. The costs of a round
# follow from its declaration.

# %%
model = {"layer1": np.zeros((784, 256), np.float32), "layer2": np.zeros((256, 10), np.float32)}
spec = cf.RoundSpec.for_arrays(model, quantizer, max_clients=20, min_clients=3, max_weight=1000, key=public)
print(f"{spec.values:,} values in {spec.ciphertexts:,} ciphertexts")
print(f"{spec.nbytes / 1e6:.2f} MB for each client: {spec.bytes_per_value:.2f} bytes a value")
print(f"error bound {spec.error_bound:.1e}")

# %% [markdown]
# A **client** encrypts its update. `weight` is the number of its examples, which is encrypted too.
# The client makes messages one by one, so that a large update is never in memory twice.

# %%
rng = np.random.default_rng(7)


def local_update():
    return {name: rng.normal(0, 0.1, array.shape).astype(np.float32) for name, array in model.items()}


hospitals = {"north": (local_update(), 812), "south": (local_update(), 95), "east": (local_update(), 430)}
sent = {}
for name, (update, examples) in hospitals.items():
    encrypted = cf.Client(spec, public, pin=pin).encrypt(update, weight=examples)
    sent[name] = encrypted.to_bytes()
print({name: f"{len(data) / 1e6:.2f} MB" for name, data in sent.items()})

# %% [markdown]
# The **aggregator** adds ciphertexts. It has no secret key. The sum contains all messages of a
# client, or none.

# %%
aggregator = cf.Aggregator(spec, public)
for name, data in sent.items():
    aggregator.add(name, cf.EncryptedUpdate.from_bytes(data))
encrypted_sum = aggregator.finish()
print("in the sum:", encrypted_sum.participants)

# %% [markdown]
# The **server** decrypts one sum, and gets the weighted mean. It may decrypt the same sum again. It
# refuses another sum of the same round, because the difference of two sums can be one client's
# update.

# %%
result = cf.Server(spec, key).decrypt(encrypted_sum)
total = sum(examples for _, examples in hospitals.values())
expected = sum(update["layer1"] * examples for update, examples in hospitals.values()) / total
error = float(np.abs(result.values["layer1"] - expected).max())
print(f"weight {result.weight} of {total}; largest error {error:.1e} of at most {spec.error_bound:.1e}")
assert result.weight == total and error <= spec.error_bound + 1e-6

# %% [markdown]
# ## Who learns what
#
# | party | has | learns |
# | :-- | :-- | :-- |
# | client | its update, the public key | nothing of the others |
# | aggregator | the public key | who takes part, and sizes |
# | server | the secret key | the sum, the total weight, who took part |
#
# This has two consequences. **Server and aggregator must not be the same organisation**, and must
# not collude: the server could decrypt single updates that the aggregator has. And the server must
# not read messages between client and aggregator: protect them by TLS, or by a `Channel` as below.
#
# If there is no second organisation for the aggregator, give the key to a **key holder** instead.
# This party decrypts masked sums and learns nothing about them. Then one machine may be both
# aggregator and server.

# %%
holder_key = cf.SecretKey.generate(bits=2048, key_holder=True)
spec = cf.RoundSpec.for_arrays(
    model, quantizer, max_clients=20, min_clients=3, max_weight=1000, key=holder_key.public
)


def channel(party, *peers):
    """A party's channel, with keys for this session only."""
    return cf.Channel.generate(holder_key.session, party)


ends = {party: channel(party) for party in ("aggregator", "server", "key-holder", "client:0", "client:1", "client:2")}


def exchange_keys(one, other):
    """In a real round these public keys are sent with signatures: see `Identity` and `Roster`."""
    ends[one].add_peer(other, ends[other].public_key)
    ends[other].add_peer(one, ends[one].public_key)


exchange_keys("server", "key-holder")
for number in range(3):
    exchange_keys(f"client:{number}", "aggregator")

aggregator = cf.Aggregator(spec, holder_key.public, channel=ends["aggregator"])
for number, (name, (update, examples)) in enumerate(hospitals.items()):
    client = cf.Client(spec, holder_key.public, number=number, channel=ends[f"client:{number}"])
    aggregator.add(name, client.encrypt(update, weight=examples), number=number)

server = cf.Server(spec, holder_key.public, key_holder_channel=ends["server"])
questions = server.mask(aggregator.finish())  # to the key holder, which …
answers = cf.KeyHolder(holder_key, channel=ends["key-holder"]).answer(spec, questions)  # … sees random numbers
again = server.unmask(answers)
assert np.array_equal(again.values["layer1"], result.values["layer1"])
print("the same mean, and the server never had a key")

# %% [markdown]
# ## What it costs
#
# Most of the time is encryption. This is its time on this machine:

# %%
import time

large = {"w": np.zeros(1_000_000, np.float32)}
spec = cf.RoundSpec.for_arrays(large, quantizer, max_clients=20, min_clients=3, key=public)
start = time.perf_counter()
encrypted = cf.Client(spec, public).encrypt(large)
size = sum(len(message) for message in encrypted)
seconds = time.perf_counter() - start
print(f"1 million float32 in {seconds:.1f} s by {public.backend}: {size / 1e6:.2f} MB instead of 4 MB")

# %% [markdown]
# The time is proportional to the number of values. Fewer bits reduce the size. These are the bytes
# of a value with 16, 8 and 4 bits, for 20 clients:

# %%
for bits in (16, 8, 4):
    cheap = cf.RoundSpec.for_arrays(
        large, cf.Quantizer(clip=1.0, bits=bits), max_clients=20, min_clients=3, key_bits=2048
    )
    print(f"{bits:2} bits: {cheap.bytes_per_value:.2f} bytes a value, error bound {cheap.error_bound:.1e}")

# %% [markdown]
# ## When something is wrong
#
# Every error is an exception with its facts as attributes, and is raised before anything is sent.

# %%
for broken in (
    {"w": np.full(1_000_000, np.nan, np.float32)},
    {"w": np.zeros(999_999, np.float32)},
    {"w": np.zeros(1_000_000, np.complex64)},
):
    try:
        cf.Client(spec, public).encrypt(broken)
    except cf.Error as refused:
        print(f"{type(refused).__name__}: {refused}")

# %% [markdown]
# ## Ten minutes: a Flower app
#
# An app of [Flower](https://flower.ai) needs three more lines. The client app gets a mod, which
# encrypts the app's replies. The same app can be the key holder on a separate node:
#
# ```python
# from cipherfold.flower import SecureAggregationMod, key_holder_app
#
# app = key_holder_app(ClientApp(mods=[SecureAggregationMod()]))
# ```
#
# The server app wraps its strategy, which then gets one mean instead of single updates:
#
# ```python
# from cipherfold.flower import SecureAggregation
#
# strategy = SecureAggregation(FedAvg(), max_weight=1000)
# ```
#
# [`examples/flower`](../examples/flower/README.md) is a complete app with real data, a simulation,
# and a deployment with TLS between processes.
