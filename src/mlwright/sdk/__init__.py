"""What a user writes with, and what runs it inside a step's own environment.

Law: only the standard library and `mlwright.kernel.errors`. A step's environment need not hold this
package's dependencies; the engine hands the folder in and reads nothing back but frames and files.
"""
